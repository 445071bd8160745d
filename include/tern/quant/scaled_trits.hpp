// Ternary codes of weights whose scales are given, as where a scale is a parameter:
//   code = clip(round(w / s), -1, 1),  rounding half to even.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "tern/quant/quantizer.hpp"

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

/// weights (M, K), scales of the shape scale_extents({M, K}, block) -> codes (M, K). Throws
/// shape_error.
template <class T>
void scaled_trits(matrix_view<const T> weights, matrix_view<const T> scales, extents block,
                  matrix_view<std::int8_t> codes, executor_ref ex = {}) {
  const extents n = scale_extents({weights.rows, weights.cols}, block);
  require_shape(scales, n.rows, n.cols, "scaled_trits: scales");
  require_shape(codes, weights.rows, weights.cols, "scaled_trits: codes");
  for_each_row(weights.rows, weights.cols, ex, [&](std::size_t r) {
    for (std::size_t c0 = 0; c0 < weights.cols; c0 += block.cols) {
      const T scale = scales(r / block.rows, c0 / block.cols);
      const std::size_t c1 = std::min(weights.cols, c0 + block.cols);
      for (std::size_t c = c0; c < c1; ++c) codes(r, c) = scaled_trit(weights(r, c), scale);
    }
  });
}

}  // namespace tern::inline TERN_ABI
