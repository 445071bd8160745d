// Ternary weights with one scale for the whole tensor (BitNet b1.58; BitNet Distillation,
// section 3.1):
//   D = mean|W|,  Q(W) = D * clip(round(W / (D + eps)), -1, 1),  rounding half to even.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include "tern/quant/quantizer.hpp"
#include "tern/quant/trits.hpp"

namespace tern::inline TERN_ABI {

/// The weight_quantizer of BitNet b1.58.
struct absmean {
  /// Keeps the quotient finite; weights that all are far smaller become 0. Must be positive.
  double eps = 1e-5;

  /// The whole matrix.
  static constexpr extents scale_block(std::size_t rows, std::size_t cols) {
    return {std::max<std::size_t>(rows, 1), std::max<std::size_t>(cols, 1)};
  }

  /// weights (M, K) -> codes (M, K) of {-1, 0, +1}, scales (1, 1). The mean is taken in double, in
  /// an order that depends on the shape alone. Throws shape_error, and numeric_error where the mean
  /// is not finite.
  template <class T>
  void quantize(matrix_view<const T> weights, matrix_view<std::int8_t> codes, matrix_view<T> scales,
                executor_ref ex = {}) const {
    require_shape(codes, weights.rows, weights.cols, "absmean: codes");
    if (weights.size() == 0) return;
    require_shape(scales, 1, 1, "absmean: scales");
    const T mean = quant::finite_scale(mean_abs(weights, ex), "absmean");
    scales(0, 0) = mean;
    for_each_row(weights.rows, weights.cols, ex, [&](std::size_t r) {
      quant::store_trits<T>(weights.row(r), codes.row(r), mean, eps);
    });
  }

  /// mean|W|; 0 for an empty matrix.
  template <class T>
  static T mean_abs(matrix_view<const T> w, executor_ref ex = {}) {
    if (w.size() == 0) return T(0);
    std::array<double, 64> partial{};
    const std::size_t rows = (w.rows + partial.size() - 1) / partial.size();
    for_each_row(partial.size(), rows * w.cols, ex, [&](std::size_t i) {
      for (std::size_t r = i * rows; r < std::min(w.rows, (i + 1) * rows); ++r)
        partial[i] += quant::sum_abs(w.row(r));
    });
    const double total = std::accumulate(partial.begin(), partial.end(), 0.0);
    return static_cast<T>(total / static_cast<double>(w.size()));
  }
};

}  // namespace tern::inline TERN_ABI
