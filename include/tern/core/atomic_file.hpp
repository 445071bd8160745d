// Files that are either wholly there or not at all. The content is written to a temporary file
// beside the target and synced to disk, then the temporary is renamed over the target and the
// directory is synced. A crash at any moment leaves the old file as it was.
#pragma once

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>
#include <utility>

#include "tern/core/file_calls.hpp"
#include "tern/core/os_error.hpp"

namespace tern::inline TERN_ABI {

/// Streaming writer of `path` that writes to `<path>.tmp` first. Nothing appears at `path` before
/// commit(), and destruction without commit() removes the temporary. A temporary that a killed
/// process left behind is overwritten by the next writer; a second writer of the same path is
/// refused. Every failure throws io_error naming the path and leaves the old file untouched. On
/// Windows, commit() fails while the old file is open or mapped.
class atomic_file {
 public:
  /// Opens and locks the temporary. Throws io_error if `path` exists and is not a regular file.
  explicit atomic_file(std::filesystem::path path)
      : path_(std::move(path)), temporary_(path_.string() + ".tmp") {
    std::error_code unknown;
    const auto status = std::filesystem::status(path_, unknown);
    if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
      throw io_error("cannot write '" + path_.string() + "': not a regular file");
    open_locked();
    if (!detail::resize_file(file_, 0)) fail();
  }
  atomic_file(const atomic_file&) = delete;
  atomic_file& operator=(const atomic_file&) = delete;
  ~atomic_file() { discard(); }

  /// Appends bytes to the file.
  void write(std::span<const std::byte> bytes) { put(bytes, size_), size_ += bytes.size(); }
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }  ///< appends text

  /// Replaces bytes that were written before. [offset, offset + bytes.size()) must lie within
  /// size().
  void overwrite(std::size_t offset, std::span<const std::byte> bytes) { put(bytes, offset); }

  /// Makes the content durable and visible at the path. Call it once, after all other calls.
  void commit() {
    if (!detail::sync_file(file_) || !detail::rename_and_close(file_, temporary_, path_)) fail();
    sync_directory();
  }

  [[nodiscard]] std::size_t size() const { return size_; }  ///< bytes written so far
  /// The path that commit() puts the content at.
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// The path of the temporary. It can be read back before commit().
  [[nodiscard]] const std::filesystem::path& temporary() const { return temporary_; }

 private:
  void open_locked() {
    file_ = detail::open_as_only_writer(temporary_);
    if (file_) return;
    if (errno == EWOULDBLOCK)
      throw io_error("cannot write '" + path_.string() + "': it is being written already");
    throw_os_error("write", path_);
  }

  void put(std::span<const std::byte> bytes, std::size_t offset) {
    while (!bytes.empty()) {
      const auto n = detail::write_at(file_, offset, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail();
      offset += static_cast<std::size_t>(n);
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
  }

  void sync_directory() const {
    const auto parent = path_.parent_path();
    const std::filesystem::path directory = parent.empty() ? "." : parent;
    if (!detail::sync_directory(directory)) throw_os_error("sync directory of", path_);
  }

  void discard() noexcept {
    if (file_) detail::remove_and_close(file_, temporary_);
  }

  [[noreturn]] void fail() {
    const int code = errno;
    discard();
    throw_os_error("write", path_, code);
  }

  std::filesystem::path path_, temporary_;
  file_descriptor file_;
  std::size_t size_ = 0;
};

/// Writes a whole file atomically; throws io_error.
inline void write_file(const std::filesystem::path& path, std::span<const std::byte> content) {
  atomic_file file(path);
  file.write(content);
  file.commit();
}
inline void write_file(const std::filesystem::path& path, std::string_view content) {
  write_file(path, std::as_bytes(std::span(content)));
}

}  // namespace tern::inline TERN_ABI
