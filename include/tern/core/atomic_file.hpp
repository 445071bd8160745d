// Files that are either wholly there or not at all. The content is written to a temporary file
// beside the target and synced to disk, then the temporary is renamed over the target and the
// directory is synced. A crash at any moment leaves the old file as it was.
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string_view>
#include <utility>

#include "tern/core/file_descriptor.hpp"
#include "tern/core/os_error.hpp"

namespace tern::inline TERN_ABI {

/// Streaming writer of `path` that writes to `<path>.tmp` first. Nothing appears at `path` before
/// commit(), and destruction without commit() removes the temporary. A temporary that a killed
/// process left behind is overwritten by the next writer; a second writer of the same path is
/// refused. Every failure throws io_error naming the path and leaves the old file untouched.
class atomic_file {
 public:
  /// Opens and locks the temporary. Throws io_error if `path` exists and is not a regular file.
  explicit atomic_file(std::filesystem::path path)
      : path_(std::move(path)), temporary_(path_.string() + ".tmp") {
    std::error_code unknown;
    const auto status = std::filesystem::status(path_, unknown);
    if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
      throw io_error("cannot write '" + path_.string() + "': not a regular file");
    while (!open_locked()) continue;
    if (::ftruncate(file_.get(), 0) != 0) fail();
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
    if (::fsync(file_.get()) != 0 || !rename_and_close()) fail();
    sync_directory();
  }

  [[nodiscard]] std::size_t size() const { return size_; }  ///< bytes written so far
  /// The path that commit() puts the content at.
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// The path of the temporary. It can be read back before commit().
  [[nodiscard]] const std::filesystem::path& temporary() const { return temporary_; }

 private:
  /// Returns false if the locked file is no longer the one at `temporary_`, because another writer
  /// renamed it after we had opened it.
  bool open_locked() {
    constexpr int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
    file_ = file_descriptor(::open(temporary_.c_str(), flags, 0666));
    if (!file_) throw_os_error("write", path_);
    if (::flock(file_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      file_ = file_descriptor();  // forgets the temporary, since it belongs to another writer
      throw io_error("cannot write '" + path_.string() + "': it is being written already");
    }
    struct stat locked {
    }, named{};
    return ::fstat(file_.get(), &locked) == 0 && ::stat(temporary_.c_str(), &named) == 0 &&
           locked.st_ino == named.st_ino && locked.st_dev == named.st_dev;
  }

  void put(std::span<const std::byte> bytes, std::size_t offset) {
    while (!bytes.empty()) {
      const ssize_t n =
          ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail();
      offset += static_cast<std::size_t>(n);
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
  }

  bool rename_and_close() {
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0) return false;
    file_ = file_descriptor();  // close cannot fail, since the content is synced already
    return true;
  }

  void sync_directory() const {
    const auto parent = path_.parent_path();
    const std::filesystem::path directory = parent.empty() ? "." : parent;
    const file_descriptor fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd || (::fsync(fd.get()) != 0 && errno != EINVAL))  // EINVAL: this file system need not
      throw_os_error("sync directory of", path_);
  }

  void discard() noexcept {
    if (!file_) return;
    ::unlink(temporary_.c_str());
    file_ = file_descriptor();
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
