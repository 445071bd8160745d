// A test for infinity and NaN that asks the bits. Where a compiler takes all numbers for finite, it
// may replace std::isfinite() by true; in a program of several units one copy of that function
// serves all of them.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// Whether x is neither infinite nor NaN.
template <std::floating_point T>
constexpr bool is_finite(T x) {
  static_assert(std::numeric_limits<T>::is_iec559 && (sizeof(T) == 4 || sizeof(T) == 8));
  using bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  constexpr bits exponent = std::bit_cast<bits>(std::numeric_limits<T>::infinity());
  return (std::bit_cast<bits>(x) & exponent) != exponent;
}

}  // namespace tern::inline TERN_ABI
