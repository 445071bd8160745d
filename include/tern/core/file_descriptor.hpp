// A POSIX file descriptor that closes itself.
#pragma once

#include <unistd.h>

#include <utility>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// Move-only owner; negative means none.
class file_descriptor {
 public:
  /// Takes ownership.
  explicit file_descriptor(int fd = -1) : fd_(fd) {}
  /// Leaves the other one without.
  file_descriptor(file_descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  /// Swaps.
  file_descriptor& operator=(file_descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~file_descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }

  [[nodiscard]] int get() const { return fd_; }        ///< negative: none
  explicit operator bool() const { return fd_ >= 0; }  ///< whether there is one

 private:
  int fd_;
};

}  // namespace tern::inline TERN_ABI
