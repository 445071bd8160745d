// The quantizer that BitDistill's official code calls "gptq" (tools/bitnet/bitnetsrc/core.py,
// weight_quant_gptq):
//   a = mean over columns of 1 / sqrt(var(column) + 1e-8), divided by max(mean|W|, 1e-5),
//   Q(W) = clip(round(a W), -1, 1) / a,  rounding half to even; var has the divisor M - 1.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include "tern/core/error.hpp"
#include "tern/core/is_finite.hpp"
#include "tern/quant/absmean.hpp"

namespace tern::inline TERN_ABI {

/// A weight_quantizer with one scale, 1 / a, for the whole matrix. It is not GPTQ: it sees no
/// calibration data, and no error is compensated (calibrate/gptq.hpp does that). For weights of
/// spread sigma, 1 / a is about 0.8 sigma^2, so nearly all codes are -1 or +1 where sigma is small.
struct paper_gptq {
  /// The whole matrix.
  static constexpr extents scale_block(std::size_t rows, std::size_t cols) {
    return absmean::scale_block(rows, cols);
  }

  /// weights (M, K) -> codes (M, K) of {-1, 0, +1}, scales (1, 1), whose products are Q(W). Means
  /// are taken in double, in an order that depends on the shape alone. A single column has a = 1 /
  /// mean|W|, as in the official code. The variance within a single row, which that code leaves
  /// undefined, counts as 0. Throws shape_error, and numeric_error where a mean or 1 / a is not
  /// finite.
  template <class T>
  void quantize(matrix_view<const T> weights, matrix_view<std::int8_t> codes, matrix_view<T> scales,
                executor_ref ex = {}) const {
    require_shape(codes, weights.rows, weights.cols, "paper_gptq: codes");
    if (weights.size() == 0) return;
    require_shape(scales, 1, 1, "paper_gptq: scales");
    const T mean =
        std::max(quant::finite_scale(absmean::mean_abs(weights, ex), "paper_gptq"), T(1e-5));
    const T spread = weights.cols > 1 ? static_cast<T>(mean_inverse_spread(weights, ex)) : T(1);
    const T inverse = spread / mean;
    scales(0, 0) = 1 / inverse;
    if (!is_finite(scales(0, 0)))
      throw numeric_error("paper_gptq: the weights are too large, 1 / a is not finite");
    for_each_row(weights.rows, weights.cols, ex, [&](std::size_t r) {
      quant::store_trits_above<T>(weights.row(r), codes.row(r), T(0.5), inverse);
    });
  }

 private:
  // The mean over columns of 1 / sqrt(var + 1e-8).
  template <class T>
  static double mean_inverse_spread(matrix_view<const T> w, executor_ref ex) {
    constexpr std::size_t tile = 16;  // columns that are read together
    std::array<double, 64> partial{};
    const std::size_t cols = (w.cols + partial.size() - 1) / partial.size();
    for_each_row(partial.size(), cols * w.rows, ex, [&](std::size_t i) {
      const std::size_t end = std::min(w.cols, (i + 1) * cols);
      for (std::size_t c = i * cols; c < end; c += tile) {
        const std::size_t n = std::min(tile, end - c);
        std::array<double, tile> mean{}, squares{};
        for (std::size_t r = 0; r < w.rows; ++r)
          for (std::size_t k = 0; k < n; ++k) mean[k] += static_cast<double>(w(r, c + k));
        for (double& m : mean) m /= static_cast<double>(w.rows);
        for (std::size_t r = 0; r < w.rows; ++r)
          for (std::size_t k = 0; k < n; ++k) {
            const double difference = static_cast<double>(w(r, c + k)) - mean[k];
            squares[k] += difference * difference;
          }
        const auto divisor = static_cast<double>(std::max<std::size_t>(w.rows, 2) - 1);
        for (std::size_t k = 0; k < n; ++k)
          partial[i] += 1 / std::sqrt(squares[k] / divisor + 1e-8);
      }
    });
    return std::accumulate(partial.begin(), partial.end(), 0.0) / static_cast<double>(w.cols);
  }
};

}  // namespace tern::inline TERN_ABI
