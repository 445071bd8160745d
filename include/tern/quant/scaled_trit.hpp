// The ternary code of a weight whose scale is given, as where a scale is a parameter:
//   code = clip(round(w / s), -1, 1),  rounding half to even.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// The code of one weight. The quotient is a rounded value of type T, and everything that computes
/// codes from such scales uses this expression, so that all agree. A scale of 0 makes 0 / 0, whose
/// code is 0.
template <class T>
constexpr std::int8_t scaled_trit(T weight, T scale) {
  // The quotient rounds to +1 or more exactly where it exceeds 1/2, since a tie goes to the even 0.
  const T quotient = weight / scale;
  return static_cast<std::int8_t>((quotient > T(0.5)) - (quotient < T(-0.5)));
}

/// The weight itself where it has this code, else the one next to the threshold that has it. The
/// scale is positive.
template <class T>
T nearest_with_code(T weight, T scale, std::int8_t code) {
  if (scaled_trit(weight, scale) == code) return weight;
  const T half = scale / 2, above = half * (1 + 4 * std::numeric_limits<T>::epsilon());
  return code == 0 ? std::copysign(half, weight) : static_cast<T>(code) * above;
}

}  // namespace tern::inline TERN_ABI
