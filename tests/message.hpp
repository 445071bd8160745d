// The message of an operation that fails.
#pragma once

#include <string>

#include "tern/core/error.hpp"

namespace tern_test {

/// The text of the `E` that f() throws, or "no error".
template <class E = tern::error, class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace tern_test
