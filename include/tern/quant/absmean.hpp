// Ternary weights with one scale per tensor (BitNet b1.58; BitNet Distillation, section 3.1):
//   D = mean|W|,  Q(W) = D * clip(round(W / (D + eps)), -1, 1),  rounding half to even.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include "tern/quant/codes.hpp"
#include "tern/quant/quantizer.hpp"

namespace tern::inline TERN_ABI {

struct absmean {
  /// Keeps the quotient finite; weights far below it all become 0. Must be positive.
  double eps = 1e-5;

  static constexpr extents scale_block(std::size_t rows, std::size_t cols) {
    return {std::max<std::size_t>(rows, 1), std::max<std::size_t>(cols, 1)};
  }

  /// weights (M, K) -> codes (M, K) of {-1, 0, +1}, scales (1, 1). The mean is taken in double in
  /// an order that depends on the shape alone. Throws numeric_error where it is not finite.
  template <class T>
  void quantize(matrix_view<const T> weights, matrix_view<std::int8_t> codes, matrix_view<T> scales,
                executor_ref ex = {}) const {
    require_shape(codes, weights.rows, weights.cols, "absmean: codes");
    if (weights.size() == 0) return;
    require_shape(scales, 1, 1, "absmean: scales");
    const T mean = mean_abs(weights, ex);
    if (!std::isfinite(mean)) throw numeric_error("absmean: the mean of |weights| is not finite");
    scales(0, 0) = mean;
    // round(w / d) is +1 exactly where w > d / 2: the tie goes to the even 0.
    const simd::batch<T> half((mean + static_cast<T>(eps)) / 2), zero(T(0)), one(T(1));
    const auto ternary = [&](const simd::batch<T>& w) {
      return xsimd::select(w > half, one, zero) - xsimd::select(w < -half, one, zero);
    };
    for_each_row(weights.rows, weights.cols, ex, [&](std::size_t r) {
      quant::store_codes<T>(weights.row(r), codes.row(r), ternary);
    });
  }

  /// mean|W|, 0 for an empty matrix.
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
