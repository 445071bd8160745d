// Replaces a file as a whole: readers and a crash see the old content or the new, never a part.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include "tern/core/error.hpp"

namespace tern::inline TERN_ABI::detail {

/// Writes all of `content`; false with errno set where the system refuses.
inline bool write_all(int file, std::string_view content) {
  while (!content.empty()) {
    const ssize_t wrote = ::write(file, content.data(), content.size());
    if (wrote < 0 && errno != EINTR) return false;
    if (wrote > 0) content.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return true;
}

/// Writes a file beside `path`, syncs it and renames it to `path`. Throws io_error naming `path`,
/// which is then as it was.
inline void write_atomically(const std::filesystem::path& path, std::string_view content) {
  const std::string target = path.string();
  const std::string temporary = target + "." + std::to_string(::getpid()) + ".tmp";
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  bool done = file >= 0 && write_all(file, content) && ::fsync(file) == 0;
  int reason = done ? 0 : errno;
  if (file >= 0 && ::close(file) != 0 && done) {
    done = false;
    reason = errno;
  }
  if (done && std::rename(temporary.c_str(), target.c_str()) == 0) return;
  if (done) reason = errno;
  if (file >= 0) ::unlink(temporary.c_str());
  throw io_error(target + ": cannot write: " + std::strerror(reason));
}

}  // namespace tern::inline TERN_ABI::detail
