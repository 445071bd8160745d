// Ternary weights with the threshold of Ternary Weight Networks (arXiv 1605.04711):
//   code = sign(w) where |w| > 0.75 mean|W|, else 0;  scale = mean of |w| over those with a code.
// 0.75 is the optimum for normally distributed weights and what the last version of the paper and
// its authors' code use. The first version rounds it to 0.7.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "tern/quant/absmean.hpp"

namespace tern::inline TERN_ABI {

/// A weight_quantizer with one scale for the whole matrix.
struct twn {
  double threshold = .75;  ///< as a multiple of mean|W|, at least 0

  /// The whole matrix.
  static constexpr extents scale_block(std::size_t rows, std::size_t cols) {
    return absmean::scale_block(rows, cols);
  }

  /// weights (M, K) -> codes (M, K) of {-1, 0, +1}, scales (1, 1). Means are taken in double, in an
  /// order that depends on the shape alone. Throws shape_error, and numeric_error where a mean is
  /// not finite.
  template <class T>
  void quantize(matrix_view<const T> weights, matrix_view<std::int8_t> codes, matrix_view<T> scales,
                executor_ref ex = {}) const {
    require_shape(codes, weights.rows, weights.cols, "twn: codes");
    if (weights.size() == 0) return;
    require_shape(scales, 1, 1, "twn: scales");
    const T mean = quant::finite_scale(absmean::mean_abs(weights, ex), "twn");
    const T limit = static_cast<T>(threshold * static_cast<double>(mean));
    struct sums {
      double size = 0, count = 0;  // of the weights with a code
    };
    std::array<sums, 64> partial{};
    const std::size_t rows = (weights.rows + partial.size() - 1) / partial.size();
    for_each_row(partial.size(), rows * weights.cols, ex, [&](std::size_t i) {
      for (std::size_t r = i * rows; r < std::min(weights.rows, (i + 1) * rows); ++r) {
        quant::store_trits_above<T>(weights.row(r), codes.row(r), limit);
        for (std::size_t c = 0; c < weights.cols; ++c)
          if (codes(r, c) != 0) {
            partial[i].size += std::abs(static_cast<double>(weights(r, c)));
            ++partial[i].count;
          }
      }
    });
    sums all;
    for (const sums& s : partial) all = {all.size + s.size, all.count + s.count};
    scales(0, 0) =
        all.count == 0 ? T(0) : quant::finite_scale(static_cast<T>(all.size / all.count), "twn");
  }
};

}  // namespace tern::inline TERN_ABI
