// A file mapped into memory for reading. A page is read from disk when it is first accessed.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>
#include <utility>

#include "tern/core/file_descriptor.hpp"
#include "tern/core/os_error.hpp"

namespace tern::inline TERN_ABI {

/// Move-only owner of the mapping. The file must not be shortened while it is mapped. Replacing it
/// by renaming another file over it is safe.
class mapped_file {
 public:
  /// Maps the file. Throws io_error naming the path unless it is a regular file that can be read.
  explicit mapped_file(std::filesystem::path path) : path_(std::move(path)) {
    const file_descriptor fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status {};
    if (!fd || ::fstat(fd.get(), &status) != 0) throw_os_error("read", path_);
    if (!S_ISREG(status.st_mode))
      throw io_error("cannot read '" + path_.string() + "': not a regular file");
    const auto size = static_cast<std::size_t>(status.st_size);
    if (size == 0) return;  // mmap refuses a length of 0
    void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
    if (data == MAP_FAILED) throw_os_error("map", path_);
    bytes_ = {static_cast<const std::byte*>(data), size};
  }
  /// Takes the mapping of `other`, which is empty afterwards.
  mapped_file(mapped_file&& other) noexcept
      : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}
  /// Swaps the mappings.
  mapped_file& operator=(mapped_file&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~mapped_file() {
    if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }  ///< the whole file
  /// The whole file as characters.
  [[nodiscard]] std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }
  /// The path as the constructor got it.
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

}  // namespace tern::inline TERN_ABI
