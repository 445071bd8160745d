// The exceptions that the library throws. Two others pass through it: std::bad_alloc when memory
// runs out, and whatever the caller's own functions throw. The library never prints or ends the
// process.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// Base class of all exceptions that the library throws on purpose.
struct error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The shapes or strides of operands do not fit together.
struct shape_error : error {
  using error::error;
};

/// A value is outside its documented range, or a configuration contradicts itself.
struct config_error : error {
  using error::error;
};

/// The operating system refused an operation, such as for a missing file or a full disk.
struct io_error : error {
  using error::error;
};

/// The content of a file is invalid. The message names the file and the position.
struct format_error : error {
  using error::error;
};

/// A computation gave NaN or infinity, such as a loss that diverged.
struct numeric_error : error {
  using error::error;
};

/// Throws shape_error("<what>: expected <expected>, got <got>") unless `expected == got`.
inline void require_size(std::size_t got, std::size_t expected, std::string_view what) {
  if (got != expected)
    throw shape_error(std::string(what) + ": expected " + std::to_string(expected) + ", got " +
                      std::to_string(got));
}

}  // namespace tern::inline TERN_ABI
