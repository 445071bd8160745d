// A POSIX file descriptor that closes itself.
#pragma once

#include <unistd.h>

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

}  // namespace tern::inline TERN_ABI
