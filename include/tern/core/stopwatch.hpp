// Measures how long something takes.
#pragma once

#include <chrono>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// Runs from its construction on.
class stopwatch {
 public:
  /// Seconds of wall clock so far.
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(clock::now() - start_).count();
  }

 private:
  using clock = std::chrono::steady_clock;
  clock::time_point start_ = clock::now();
};

}  // namespace tern::inline TERN_ABI
