// The scale that makes ternary codes fit weights best: codes and scale are improved in turn until
// neither changes,
//   code = clip(round(w / s), -1, 1),  s = <|w|, |code|> / <code, code>,
// beginning with s = 1.5 mean|w|. Each step lowers sum (w - s code)^2. (Optimal scaling factors of
// Ternary Weight Networks, arXiv 1605.04711, equation 4, by Lloyd's iteration.)
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "tern/calibrate/scale_rule.hpp"
#include "tern/core/error.hpp"
#include "tern/core/is_finite.hpp"
#include "tern/quant/codes.hpp"
#include "tern/quant/scaled_trit.hpp"

namespace tern::inline TERN_ABI {

/// A scale_rule with least-squares scales.
struct least_squares_scale {
  /// The block of weights that shares a scale. A side of 0 stands for that of the matrix, so {0, 0}
  /// is one scale for all, {1, 0} one for each row, and {1, 64} one for every 64 columns of a row.
  /// Blocks that are lower than the matrix must be 1 row high.
  extents block{1, 0};
  double first = 1.5;            ///< the first scale, as a multiple of mean|w|
  std::size_t most_rounds = 50;  ///< limit of the iteration, which needs about 10 rounds
  /// The result is multiplied by this. GPTQ spreads the errors of columns over later ones, so that
  /// the best scale may be somewhat larger than that of the weights as they are.
  double factor = 1;

  /// The block, cut to the matrix.
  [[nodiscard]] constexpr extents scale_block(std::size_t rows, std::size_t cols) const {
    const auto side = [](std::size_t wanted, std::size_t n) {
      n = std::max<std::size_t>(n, 1);
      return wanted == 0 ? n : std::min(wanted, n);
    };
    return {side(block.rows, rows), side(block.cols, cols)};
  }

  /// w (M, K) -> scales. A block of zeros has scale 0. Throws shape_error, config_error for blocks
  /// of another height, and numeric_error where weights are not finite.
  template <class T>
  void find(matrix_view<const T> w, matrix_view<T> scales, executor_ref ex = {}) const {
    const extents b = scale_block(w.rows, w.cols), n = scale_extents({w.rows, w.cols}, b);
    require_shape(scales, n.rows, n.cols, "least_squares_scale: scales");
    if (b.rows == 1)
      for_each_row(w.rows, w.cols, ex, [&](std::size_t r) {
        for (std::size_t i = 0; i < n.cols; ++i) {
          const std::size_t c = i * b.cols;
          scales(r, i) = of_block<T>(w.block(r, c, 1, std::min(b.cols, w.cols - c)), {});
        }
      });
    else if (n == extents{1, 1})
      scales(0, 0) = of_block<T>(w, ex);
    else
      throw config_error("least_squares_scale: a block must have 1 row or all rows");
  }

 private:
  // Sums of the weights whose code is not 0.
  struct sums {
    double size = 0, count = 0;
  };

  template <class T>
  T of_block(matrix_view<const T> w, executor_ref ex) const {
    std::vector<sums> rows(w.rows);
    const auto total = [&](auto of_row) {
      for_each_row(w.rows, w.cols, ex, [&](std::size_t r) { rows[r] = of_row(w.row(r)); });
      sums all;
      for (const sums& s : rows) all = {all.size + s.size, all.count + s.count};
      return all;
    };
    const sums all = total([](row_view<const T> row) {
      return sums{quant::sum_abs(row), static_cast<double>(row.size)};
    });
    T scale = static_cast<T>(first * all.size / all.count);
    if (!is_finite(scale)) throw numeric_error("least_squares_scale: weights are not finite");
    for (std::size_t round = 0; scale != T(0) && round < most_rounds; ++round) {
      const sums chosen = total([scale](row_view<const T> row) {
        sums s;
        for (std::size_t c = 0; c < row.size; ++c)
          if (scaled_trit(row[c], scale) != 0) {
            s.size += std::abs(static_cast<double>(row[c]));
            ++s.count;
          }
        return s;
      });
      if (chosen.count == 0) break;
      const T next = static_cast<T>(chosen.size / chosen.count);
      if (next == scale) break;
      scale = next;
    }
    return static_cast<T>(factor * static_cast<double>(scale));
  }
};

}  // namespace tern::inline TERN_ABI
