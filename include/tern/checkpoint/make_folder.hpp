// The folder of a model that is about to be written.
#pragma once

#include <filesystem>
#include <system_error>

#include "tern/core/error.hpp"

namespace tern::inline TERN_ABI {

/// Makes the folder, and those it lies in, where they are missing. Throws io_error.
inline void make_folder(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw io_error("cannot make '" + path.string() + "': " + error.message());
}

}  // namespace tern::inline TERN_ABI
