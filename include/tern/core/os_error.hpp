// Errors of the operating system become io_error, whose message says what was tried, with which
// path, and why it failed.
#pragma once

#include <cerrno>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include "tern/core/error.hpp"

namespace tern::inline TERN_ABI {

/// Throws io_error("cannot <action> '<path>': <text of error number `code`>").
[[noreturn]] inline void throw_os_error(std::string_view action, const std::filesystem::path& path,
                                        int code = errno) {
  throw io_error("cannot " + std::string(action) + " '" + path.string() +
                 "': " + std::generic_category().message(code));
}

/// Whether the path names a file, a folder, or a link, which may lead nowhere: reading that says
/// what is wrong. Throws io_error if the system does not say.
inline bool path_exists(const std::filesystem::path& path) {
  std::error_code error;
  const auto type = std::filesystem::symlink_status(path, error).type();
  if (type == std::filesystem::file_type::none) throw_os_error("look at", path, error.value());
  return type != std::filesystem::file_type::not_found;
}

}  // namespace tern::inline TERN_ABI
