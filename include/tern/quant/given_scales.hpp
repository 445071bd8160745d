// Ternary weights whose scales are given, for example because they are trained or calibrated:
//   Q(W) = s * clip(round(W / s), -1, 1),  rounding half to even.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "tern/core/is_finite.hpp"
#include "tern/quant/quantizer.hpp"
#include "tern/quant/trits.hpp"

namespace tern::inline TERN_ABI {

/// A weight_quantizer for one matrix. ParetoQ's SEQ (arXiv 2502.02631, three levels) with its scale
/// a is this rule with s = 2 a / 3.
template <class S = float>
struct given_scales {
  matrix_view<const S> scales;  ///< of the shape scale_extents() for the weights and `block`
  extents block{1, 1};          ///< rows and columns of weights that share a scale

  /// Scales that are not positive, which training may reach, count as this one.
  static constexpr double least = 1e-10;

  /// The block, whatever the size of the matrix.
  [[nodiscard]] constexpr extents scale_block(std::size_t, std::size_t) const { return block; }

  /// weights (M, K) -> codes (M, K) of {-1, 0, +1}, and a copy of the scales. Throws shape_error,
  /// and numeric_error where a scale is not finite.
  template <class T>
  void quantize(matrix_view<const T> weights, matrix_view<std::int8_t> codes, matrix_view<T> out,
                executor_ref ex = {}) const {
    const extents n = scale_extents({weights.rows, weights.cols}, block);
    require_shape(codes, weights.rows, weights.cols, "given_scales: codes");
    require_shape(scales, n.rows, n.cols, "given_scales: scales");
    require_shape(out, n.rows, n.cols, "given_scales: out");
    for (std::size_t r = 0; r < n.rows; ++r)
      for (std::size_t c = 0; c < n.cols; ++c) {
        if (!is_finite(scales(r, c)))
          throw numeric_error("given_scales: a scale of the weights is not finite");
        out(r, c) = std::max(static_cast<T>(scales(r, c)), static_cast<T>(least));
      }
    for_each_row(weights.rows, weights.cols, ex, [&](std::size_t r) {
      for (std::size_t c = 0; c < weights.cols; c += block.cols) {
        const std::size_t width = std::min(block.cols, weights.cols - c);
        // round(w / s) is +1 or more exactly where w > s / 2, since a tie goes to the even 0.
        quant::store_trits_above<T>(weights.block(r, c, 1, width).row(0),
                                    codes.block(r, c, 1, width).row(0),
                                    out(r / block.rows, c / block.cols) / 2);
      }
    });
  }
};

}  // namespace tern::inline TERN_ABI
