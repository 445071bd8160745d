// The exceptions the library throws, besides std::bad_alloc where there is no memory and whatever
// the caller's own functions throw. Nothing here prints or ends the process.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// Base of everything the library throws on purpose.
struct error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Operands whose shapes or strides do not fit together.
struct shape_error : error {
  using error::error;
};

/// A value outside its documented range, or a configuration that contradicts itself.
struct config_error : error {
  using error::error;
};

/// The operating system refused: missing file, full disk, no permission.
struct io_error : error {
  using error::error;
};

/// The content of a file is not what it must be; the message names file and position.
struct format_error : error {
  using error::error;
};

/// A computation left the finite numbers (NaN or infinite loss).
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
