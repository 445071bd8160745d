// A file mapped into memory for reading. A page is read from disk when it is first accessed.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "tern/core/file_calls.hpp"
#include "tern/core/os_error.hpp"

namespace tern::inline TERN_ABI {

/// Move-only owner of the mapping. The file must not be shortened while it is mapped. Replacing it
/// by renaming another file over it is safe; on Windows that fails while it is mapped.
class mapped_file {
 public:
  /// Maps the file. Throws io_error naming the path unless it is a regular file that can be read.
  explicit mapped_file(std::filesystem::path path) : path_(std::move(path)) {
    const file_descriptor fd = detail::open_for_reading(path_);
    const auto size = fd ? detail::size_of(fd) : std::nullopt;
    if (!size) throw_os_error("read", path_);
    if (!size->regular) throw io_error("cannot read '" + path_.string() + "': not a regular file");
    if (size->bytes == 0) return;  // no system maps a length of 0
    const void* data = detail::map_file(fd, size->bytes);
    if (data == nullptr) throw_os_error("map", path_);
    bytes_ = {static_cast<const std::byte*>(data), size->bytes};
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
    if (!bytes_.empty()) detail::unmap_file(bytes_.data(), bytes_.size());
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
