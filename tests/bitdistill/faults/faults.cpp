// A library that is preloaded into the program under test. The n-th call that changes the disk
// (counted from 1) meets a fault. TERN_FAULT is "kill:n" (SIGKILL; a write has written half of its
// bytes), "interrupt:n" (SIGINT), "full:n" (the disk is full from then on) or "list:<file>" (the
// calls are written to the file). Where TERN_FAULT_BELOW is set, only calls count whose path has it
// in it.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

struct plan {
  char kind = '-';
  long at = 0;
  int list = -1;

  plan() {
    const char* fault = std::getenv("TERN_FAULT");
    if (fault == nullptr) return;
    const std::string text = fault, value = text.substr(text.find(':') + 1);
    kind = text[0];
    if (kind == 'l')
      list = ::open(value.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    else
      at = std::atol(value.c_str());
  }
};

std::string path_of(int fd) {
  char path[4096];
  const auto n = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path, sizeof path);
  return {path, n < 0 ? 0 : static_cast<std::size_t>(n)};
}

[[noreturn]] void die() {
  ::raise(SIGKILL);
  std::abort();
}

enum class fault { none, kill, full };

/// Tells what happens to the call.
fault meet(const char* call, const std::string& path) {
  static const plan p;
  static std::atomic<long> calls = 0;
  static const char* const below = std::getenv("TERN_FAULT_BELOW");
  if (below != nullptr && path.find(below) == path.npos) return fault::none;
  const long n = ++calls;
  if (p.list >= 0) ::dprintf(p.list, "%s %s\n", call, path.c_str());
  if (p.kind == 'i' && n == p.at) ::raise(SIGINT);
  if (p.kind == 'k' && n == p.at) return fault::kill;
  if (p.kind == 'f' && n >= p.at) return errno = ENOSPC, fault::full;
  return fault::none;
}

/// Meets a fault that leaves nothing half done. Returns false where the call must fail.
bool passes(const char* call, const std::string& path) {
  const fault f = meet(call, path);
  if (f == fault::kill) die();
  return f == fault::none;
}

template <class Write>
ssize_t write_or_meet(const char* call, int fd, std::size_t size, Write&& write) {
  if (fd <= 2) return write(size);
  const fault f = meet(call, path_of(fd));
  if (f == fault::full) return -1;
  if (f == fault::none) return write(size);
  write(size / 2);
  die();
}

}  // namespace

extern "C" {

ssize_t pwrite(int fd, const void* data, std::size_t size, off_t at) {
  return write_or_meet("pwrite", fd, size,
                       [&](std::size_t n) { return ::syscall(SYS_pwrite64, fd, data, n, at); });
}
ssize_t write(int fd, const void* data, std::size_t size) {
  return write_or_meet("write", fd, size,
                       [&](std::size_t n) { return ::syscall(SYS_write, fd, data, n); });
}
ssize_t writev(int fd, const iovec* parts, int count) {
  return write_or_meet("writev", fd, static_cast<std::size_t>(count),
                       [&](std::size_t n) { return ::syscall(SYS_writev, fd, parts, n); });
}
int rename(const char* from, const char* to) noexcept {
  return passes("rename", to) ? ::renameat(AT_FDCWD, from, AT_FDCWD, to) : -1;
}
int mkdir(const char* path, mode_t mode) noexcept {
  return passes("mkdir", path) ? ::mkdirat(AT_FDCWD, path, mode) : -1;
}
/// These calls are only counted: data that the kernel has survive the end of the process.
int fsync(int fd) { return passes("fsync", path_of(fd)) ? 0 : -1; }
}
