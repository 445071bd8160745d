// The calls of Windows on files; see file_calls.hpp. <windows.h> is not included, since it defines
// hundreds of macros; the few functions that the C library lacks are declared here as it does.
#pragma once

#if defined(_WIN32)

#  include <fcntl.h>
#  include <io.h>
#  include <share.h>
#  include <stdlib.h>
#  include <sys/stat.h>

#  include <algorithm>
#  include <cerrno>
#  include <cstddef>
#  include <cstdint>
#  include <filesystem>
#  include <optional>
#  include <system_error>
#  include <type_traits>

#  include "tern/core/file_descriptor.hpp"

struct _SECURITY_ATTRIBUTES;

namespace tern::inline TERN_ABI::detail {

extern "C" {
__declspec(dllimport) int __stdcall CloseHandle(void*);
__declspec(dllimport) void* __stdcall CreateFileMappingW(void*, _SECURITY_ATTRIBUTES*,
                                                         unsigned long, unsigned long,
                                                         unsigned long, const wchar_t*);
__declspec(dllimport) unsigned long __stdcall GetLastError();
__declspec(dllimport) void* __stdcall MapViewOfFile(
    void*, unsigned long, unsigned long, unsigned long,
    std::conditional_t<sizeof(void*) == 8, unsigned long long, unsigned long>);
__declspec(dllimport) int __stdcall MoveFileExW(const wchar_t*, const wchar_t*, unsigned long);
__declspec(dllimport) int __stdcall UnmapViewOfFile(const void*);
}

/// Sets errno to what the last error of Windows means. A file that is open or mapped elsewhere is
/// busy.
inline void set_errno() {
  constexpr int user_mapped_file = 1224;
  const auto last = static_cast<int>(GetLastError());
  const auto known = std::error_code(last, std::system_category()).default_error_condition();
  if (last == user_mapped_file)
    errno = EBUSY;
  else
    errno = known.category() == std::generic_category() ? known.value() : EIO;
}

inline file_descriptor open_shared(const std::filesystem::path& path, int flags, int share) {
  int fd = -1;
  if (_wsopen_s(&fd, path.c_str(), flags | _O_BINARY | _O_NOINHERIT, share, _S_IREAD | _S_IWRITE) ==
      0)
    return file_descriptor(fd);
  constexpr unsigned long sharing_violation = 32;
  const bool shared = _doserrno == sharing_violation;
  std::error_code unknown;
  if (shared)
    errno = EWOULDBLOCK;
  else if (std::filesystem::is_directory(path, unknown))
    errno = EISDIR;  // the C library says that access is denied
  return file_descriptor();
}

inline file_descriptor open_for_reading(const std::filesystem::path& path) {
  return open_shared(path, _O_RDONLY, _SH_DENYNO);
}

inline file_descriptor open_for_update(const std::filesystem::path& path) {
  return open_shared(path, _O_RDWR | _O_CREAT, _SH_DENYNO);
}

inline file_descriptor open_as_only_writer(const std::filesystem::path& path) {
  return open_shared(path, _O_WRONLY | _O_CREAT, _SH_DENYWR);
}

inline std::optional<file_size> size_of(const file_descriptor& file) {
  struct __stat64 status {};
  if (_fstat64(file.get(), &status) != 0) return std::nullopt;
  return file_size{static_cast<std::size_t>(status.st_size),
                   (status.st_mode & _S_IFMT) == _S_IFREG};
}

inline const void* map_file(const file_descriptor& file, std::size_t) {
  constexpr unsigned long page_readonly = 2, file_map_read = 4;
  void* const handle = reinterpret_cast<void*>(_get_osfhandle(file.get()));
  void* const mapping = CreateFileMappingW(handle, nullptr, page_readonly, 0, 0, nullptr);
  const void* data = nullptr;
  if (mapping != nullptr) data = MapViewOfFile(mapping, file_map_read, 0, 0, 0);
  if (data == nullptr) set_errno();
  const int error = errno;
  if (mapping != nullptr) CloseHandle(mapping);  // the view keeps it
  errno = error;
  return data;
}

inline void unmap_file(const void* data, std::size_t) { UnmapViewOfFile(data); }

/// The C library moves at most this many bytes in a call.
inline unsigned part_of(std::size_t size) {
  return static_cast<unsigned>(std::min(size, std::size_t{1} << 30));
}

inline std::ptrdiff_t read_at(const file_descriptor& file, std::uint64_t at, void* to,
                              std::size_t size) {
  if (_lseeki64(file.get(), static_cast<long long>(at), SEEK_SET) < 0) return -1;
  return _read(file.get(), to, part_of(size));
}

inline std::ptrdiff_t write_at(const file_descriptor& file, std::uint64_t at, const void* from,
                               std::size_t size) {
  if (_lseeki64(file.get(), static_cast<long long>(at), SEEK_SET) < 0) return -1;
  return _write(file.get(), from, part_of(size));
}

inline bool resize_file(const file_descriptor& file, std::uint64_t size) {
  return _chsize_s(file.get(), static_cast<long long>(size)) == 0;
}

inline bool sync_file(const file_descriptor& file) { return _commit(file.get()) == 0; }

inline bool sync_directory(const std::filesystem::path&) {
  return true;  // rename_and_close has written the name through to the disk
}

/// A file that is open cannot be renamed on Windows, so it is closed before. Where another writer
/// opens it in between, its name cannot be changed, and this writer fails.
inline bool rename_and_close(file_descriptor& file, const std::filesystem::path& from,
                             const std::filesystem::path& to) {
  constexpr unsigned long replace_existing = 1, write_through = 8;
  file = file_descriptor();
  if (MoveFileExW(from.c_str(), to.c_str(), replace_existing | write_through) != 0) return true;
  set_errno();
  const int error = errno;
  _wunlink(from.c_str());
  errno = error;
  return false;
}

inline void remove_and_close(file_descriptor& file, const std::filesystem::path& path) noexcept {
  file = file_descriptor();
  _wunlink(path.c_str());
}

}  // namespace tern::inline TERN_ABI::detail

#endif
