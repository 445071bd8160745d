// A file descriptor that closes itself. The C library of Windows has file descriptors, too.
#pragma once

#if __has_include(<unistd.h>)
#  include <unistd.h>
#else
#  include <io.h>
#endif

#include <cstddef>
#include <utility>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// Move-only owner of a file descriptor. A negative number means that it owns none.
class file_descriptor {
 public:
  /// Takes ownership of `fd`.
  explicit file_descriptor(int fd = -1) : fd_(fd) {}
  /// Takes the descriptor of `other`, which then owns none.
  file_descriptor(file_descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  /// Swaps the descriptors.
  file_descriptor& operator=(file_descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~file_descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }

  [[nodiscard]] int get() const { return fd_; }        ///< negative if there is none
  explicit operator bool() const { return fd_ >= 0; }  ///< whether it owns a descriptor

 private:
  int fd_;
};

/// What the operating system says about an open file.
struct file_size {
  std::size_t bytes;  ///< size of the file
  bool regular;       ///< whether it is a file, and neither a folder nor a pipe nor a device
};

}  // namespace tern::inline TERN_ABI
