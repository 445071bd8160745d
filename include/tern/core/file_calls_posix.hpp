// The calls of POSIX on files; see file_calls.hpp.
#pragma once

#if !defined(_WIN32)

#  include <fcntl.h>
#  include <sys/file.h>
#  include <sys/mman.h>
#  include <sys/stat.h>
#  include <unistd.h>

#  include <cerrno>
#  include <cstddef>
#  include <cstdint>
#  include <cstdio>
#  include <filesystem>
#  include <optional>

#  include "tern/core/file_descriptor.hpp"

namespace tern::inline TERN_ABI::detail {

inline file_descriptor open_for_reading(const std::filesystem::path& path) {
  return file_descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

inline file_descriptor open_for_update(const std::filesystem::path& path) {
  return file_descriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
}

inline file_descriptor open_as_only_writer(const std::filesystem::path& path) {
  for (;;) {
    constexpr int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
    file_descriptor file(::open(path.c_str(), flags, 0666));
    if (!file) return file;
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      file = file_descriptor();
      errno = EWOULDBLOCK;
      return file;
    }
    // Another writer may have renamed the file after we had opened it.
    struct stat locked {
    }, named{};
    if (::fstat(file.get(), &locked) == 0 && ::stat(path.c_str(), &named) == 0 &&
        locked.st_ino == named.st_ino && locked.st_dev == named.st_dev)
      return file;
  }
}

inline std::optional<file_size> size_of(const file_descriptor& file) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return std::nullopt;
  return file_size{static_cast<std::size_t>(status.st_size), S_ISREG(status.st_mode)};
}

inline const void* map_file(const file_descriptor& file, std::size_t size) {
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  return data == MAP_FAILED ? nullptr : data;
}

inline void unmap_file(const void* data, std::size_t size) {
  ::munmap(const_cast<void*>(data), size);
}

inline std::ptrdiff_t read_at(const file_descriptor& file, std::uint64_t at, void* to,
                              std::size_t size) {
  return ::pread(file.get(), to, size, static_cast<off_t>(at));
}

inline std::ptrdiff_t write_at(const file_descriptor& file, std::uint64_t at, const void* from,
                               std::size_t size) {
  return ::pwrite(file.get(), from, size, static_cast<off_t>(at));
}

inline bool resize_file(const file_descriptor& file, std::uint64_t size) {
  return ::ftruncate(file.get(), static_cast<off_t>(size)) == 0;
}

inline bool sync_file(const file_descriptor& file) {
#  if defined(F_FULLFSYNC)  // on macOS, fsync() leaves the content in the cache of the drive
  if (::fcntl(file.get(), F_FULLFSYNC) == 0) return true;
#  endif
  return ::fsync(file.get()) == 0;
}

inline bool sync_directory(const std::filesystem::path& path) {
  const file_descriptor fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return fd && (::fsync(fd.get()) == 0 || errno == EINVAL);  // EINVAL: this file system need not
}

inline bool rename_and_close(file_descriptor& file, const std::filesystem::path& from,
                             const std::filesystem::path& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) return false;
  file = file_descriptor();  // close cannot fail, since the content is synced already
  return true;
}

inline void remove_and_close(file_descriptor& file, const std::filesystem::path& path) noexcept {
  ::unlink(path.c_str());
  file = file_descriptor();
}

}  // namespace tern::inline TERN_ABI::detail

#endif
