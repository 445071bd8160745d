// The test whether numbers are finite. It looks at their bits, so that -ffast-math cannot remove
// it, and it has no branch in its loop.
#pragma once

#include <bit>
#include <cstdint>
#include <span>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

template <class Bits, class T>
bool no_exponent_is(Bits special, std::span<const T> values) {
  unsigned found = 0;
  for (const T v : values)
    found |= static_cast<unsigned>((std::bit_cast<Bits>(v) & special) == special);
  return found == 0;
}

}  // namespace detail

/// Whether no value is infinite or NaN.
inline bool all_finite(std::span<const float> values) {
  return detail::no_exponent_is(std::uint32_t{0x7F800000}, values);
}
inline bool all_finite(std::span<const double> values) {
  return detail::no_exponent_is(std::uint64_t{0x7FF0000000000000}, values);
}

/// Whether a value is neither infinite nor NaN.
inline bool is_finite(float value) { return all_finite(std::span<const float>(&value, 1)); }
inline bool is_finite(double value) { return all_finite(std::span<const double>(&value, 1)); }

}  // namespace tern::inline TERN_ABI
