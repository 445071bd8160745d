// Whether memory and disk suffice, asked before long work begins.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace bitdistill {

/// Throws io_error where the disk of `path` has less free space than that. `what` takes the space.
void require_disk(const std::filesystem::path& path, std::size_t bytes, const std::string& what);

/// Bytes of memory that are available; 0 where the system does not tell.
std::size_t available_memory();

/// Throws io_error where less memory than that is available, as far as the system tells.
void require_memory(std::size_t bytes, const std::string& what);

}  // namespace bitdistill
