// How a refusal of the operating system becomes an io_error: what was tried, the path, why not.
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

}  // namespace tern::inline TERN_ABI
