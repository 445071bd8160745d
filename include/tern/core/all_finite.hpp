// The test whether many numbers are finite. It has no branch in its loop.
#pragma once

#include <span>

#include "tern/core/is_finite.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

template <class T>
bool each_is_finite(std::span<const T> values) {
  unsigned good = 1;
  for (const T v : values) good &= static_cast<unsigned>(is_finite(v));
  return good != 0;
}

}  // namespace detail

/// Whether no value is infinite or NaN.
inline bool all_finite(std::span<const float> values) { return detail::each_is_finite(values); }
inline bool all_finite(std::span<const double> values) { return detail::each_is_finite(values); }

}  // namespace tern::inline TERN_ABI
