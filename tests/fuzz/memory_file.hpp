// A file in memory that has a path, because the readers map files.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "tern/core/file_descriptor.hpp"

namespace tern_test {

class memory_file {
 public:
  memory_file(const std::uint8_t* data, std::size_t size)
      : file_(memfd_create("fuzz", MFD_CLOEXEC)) {
    if (!file_ || ::write(file_.get(), data, size) != static_cast<ssize_t>(size)) std::abort();
  }
  [[nodiscard]] std::filesystem::path path() const {
    return "/proc/self/fd/" + std::to_string(file_.get());
  }

 private:
  tern::file_descriptor file_;
};

}  // namespace tern_test
