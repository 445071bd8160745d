// Ternary weights with a scale for each output row (BitNet Distillation, "per-channel"):
//   D_m = mean|W_m|,  Q(W_m) = D_m * clip(round(W_m / (D_m + eps)), -1, 1),  rounding half to even.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "tern/quant/quantizer.hpp"
#include "tern/quant/trits.hpp"

namespace tern::inline TERN_ABI {

/// A weight_quantizer.
struct per_channel {
  /// Keeps the quotient finite; rows of far smaller weights become 0. Must be positive.
  double eps = 1e-5;

  /// A row.
  static constexpr extents scale_block(std::size_t, std::size_t cols) {
    return {1, std::max<std::size_t>(cols, 1)};
  }

  /// weights (M, K) -> codes (M, K) of {-1, 0, +1}, scales (M, 1). Means are taken as in absmean.
  /// Throws shape_error, and numeric_error where a mean is not finite.
  template <class T>
  void quantize(matrix_view<const T> weights, matrix_view<std::int8_t> codes, matrix_view<T> scales,
                executor_ref ex = {}) const {
    const std::size_t width = scale_block(weights.rows, weights.cols).cols;
    quant::quantize_groups<T>(weights, codes, scales, width, eps, "per_channel", ex);
  }
};

}  // namespace tern::inline TERN_ABI
