// The quantizer that BitDistill's official code calls "awq" (tools/bitnet/bitnetsrc/core.py,
// weight_quant_awq): a row is important where its mean|w| is above the 0.8 quantile of those of all
// rows, and
//   a_m = 0.7 a for important rows, else 1.2 a,  a = 1 / max(mean|W|, 1e-5),
//   Q(W_m) = clip(round(a_m W_m), -1, 1) / a_m,  rounding half to even.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tern/quant/absmean.hpp"

namespace tern::inline TERN_ABI {

/// A weight_quantizer with a scale, 1 / a_m, for each row. It is not AWQ: it sees no activations,
/// and no channel is scaled (calibrate/awq.hpp does that).
struct paper_awq {
  /// A row.
  static constexpr extents scale_block(std::size_t, std::size_t cols) {
    return {1, std::max<std::size_t>(cols, 1)};
  }

  /// weights (M, K) -> codes (M, K) of {-1, 0, +1}, scales (M, 1), whose products are Q(W). The
  /// scale of a row depends on the other rows. Means are taken in double, in an order that depends
  /// on the shape alone; the quantile interpolates linearly. Throws shape_error, and numeric_error
  /// where a mean is not finite.
  template <class T>
  void quantize(matrix_view<const T> weights, matrix_view<std::int8_t> codes, matrix_view<T> scales,
                executor_ref ex = {}) const {
    require_shape(codes, weights.rows, weights.cols, "paper_awq: codes");
    require_shape(scales, weights.rows, 1, "paper_awq: scales");
    if (weights.size() == 0) return;
    const T mean =
        std::max(quant::finite_scale(absmean::mean_abs(weights, ex), "paper_awq"), T(1e-5));
    std::vector<double> importance(weights.rows);
    for_each_row(weights.rows, weights.cols, ex, [&](std::size_t r) {
      importance[r] = quant::sum_abs(weights.row(r)) / static_cast<double>(weights.cols);
    });
    const double limit = upper_fifth(importance);
    for_each_row(weights.rows, weights.cols, ex, [&](std::size_t r) {
      const T inverse = 1 / mean * (importance[r] > limit ? T(0.7) : T(1.2));
      scales(r, 0) = 1 / inverse;
      quant::store_trits_above<T>(weights.row(r), codes.row(r), T(0.5), inverse);
    });
  }

 private:
  // The 0.8 quantile, between the elements at 4 (n - 1) / 5.
  static double upper_fifth(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const std::size_t fifths = 4 * (values.size() - 1), below = fifths / 5;
    if (fifths % 5 == 0) return values[below];
    const double share = static_cast<double>(fifths % 5) / 5;
    return values[below] + share * (values[below + 1] - values[below]);
  }
};

}  // namespace tern::inline TERN_ABI
