// GPTQ (arXiv 2210.17323) to ternary codes: columns are rounded one after another, and the error of
// each is compensated in the columns that are not rounded yet. With U of hessian_factor, for column
// j and every row:
//   code_j = clip(round(w_j / s), -1, 1),  e_j = (w_j - s code_j) / U_jj,  w_k -= e_j U_jk for k >
//   j
// Rows do not depend on each other, so each thread takes some rows through all columns.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "tern/calibrate/hessian_factor.hpp"
#include "tern/calibrate/require_finite.hpp"
#include "tern/calibrate/scale_rule.hpp"
#include "tern/core/arena.hpp"
#include "tern/core/simd.hpp"
#include "tern/core/thread_scratch.hpp"
#include "tern/linalg/gemm.hpp"
#include "tern/quant/scaled_trit.hpp"

namespace tern::inline TERN_ABI {

/// What calibration makes of weights (M, K). The memory is the caller's.
template <class T>
struct calibrated_weights {
  matrix_view<std::int8_t> codes;  ///< (M, K): -1, 0 or +1
  matrix_view<T> scales;           ///< shape scale_extents({M, K}, block), all positive
  /// (M, K), or null: the compensated weights, each as it was when it was rounded. They are what
  /// training should start from: codes = clip(round(latents / scales), -1, 1) holds exactly, and
  /// they lie on both sides of the thresholds as densely as the original weights do.
  matrix_view<T> latents;
};

/// The GPTQ functor.
struct gptq {
  /// After about this many columns the columns behind them are updated by one product. The results
  /// differ only in the order of additions. At least 1.
  std::size_t block_columns = 64;

  /// weights (M, K), and the factor of the hessian of their input, give `out`, whose latents may be
  /// the memory of the weights. The scales are found by a scale_rule. Where its block is 1 row high
  /// and narrower than the matrix and the columns have natural order, a block's scales are found
  /// just before its first column is rounded, from weights that compensate all columns before it.
  /// Otherwise all are found first, from the weights as given (static groups), and blocks consist
  /// of natural columns whatever the order. A column that is never active is rounded to the nearest
  /// code. Throws shape_error, config_error for a block_columns of 0, and numeric_error where
  /// weights or their compensation are not finite.
  template <class T, scale_rule<T> R>
  void quantize(matrix_view<const T> weights, const hessian_factor<T>& factor, const R& rule,
                const calibrated_weights<T>& out, arena& memory, executor_ref ex = {}) const {
    const std::size_t m = weights.rows, k = weights.cols;
    require_size(factor.width(), k, "gptq: columns of the hessian");
    require_shape(out.codes, m, k, "gptq: codes");
    if (out.latents) require_shape(out.latents, m, k, "gptq: latents");
    if (block_columns == 0) throw config_error("gptq: block_columns must be at least 1");
    if (weights.size() == 0) return;
    const extents block = rule.scale_block(m, k), n = scale_extents({m, k}, block);
    require_shape(out.scales, n.rows, n.cols, "gptq: scales");
    require_finite(weights, "gptq: weights");

    const arena_scope scope(memory);
    const matrix_view<T> work = memory.matrix<T>(m, k);  // columns in the order of rounding
    for_each_row(m, k, ex, [&](std::size_t r) {
      for (std::size_t i = 0; i < k; ++i) work(r, i) = weights(r, factor.order()[i]);
    });
    const bool scales_first = !factor.natural() || block.rows != 1 || block.cols >= k;
    if (scales_first) find_positive_scales<T>(rule, weights, out.scales, ex);
    const sweep<T, R> columns{*this, factor, rule, block, scales_first, work, out};
    ex.parallel_for(m, 48, [&](std::size_t begin, std::size_t end) { columns(begin, end); });
    require_finite<T>(work, "gptq: compensated weights");
    if (!out.latents) return;
    for_each_row(m, k, ex, [&](std::size_t r) {
      for (std::size_t i = 0; i < k; ++i) out.latents(r, factor.order()[i]) = work(r, i);
    });
  }

 private:
  /// Takes rows through all columns.
  template <class T, class R>
  struct sweep {
    const gptq& options;
    const hessian_factor<T>& factor;
    const R& rule;
    extents block;
    bool scales_first;
    matrix_view<T> work;
    const calibrated_weights<T>& out;

    void operator()(std::size_t row, std::size_t row_end) const {
      const std::size_t k = work.cols, rows = row_end - row;
      const matrix_view<const T> upper = factor.upper();
      const thread_scratch memory(rows * std::min(options.block_columns, k) * sizeof(T));
      for (std::size_t begin = 0, end = 0; begin < k; begin = end) {
        end = block_end(begin);
        const matrix_view<T> errors(memory.data<T>(), rows, end - begin);
        for (std::size_t first = begin, last = 0; first < end; first = last) {
          last = end;
          if (!scales_first) {
            last = std::min(end, (first / block.cols + 1) * block.cols);
            if (first % block.cols == 0) {
              const std::size_t cols = std::min(block.cols, k - first);
              find_positive_scales<T>(rule, work.block(row, first, rows, cols),
                                      out.scales.block(row, first / block.cols, rows, 1));
            }
          }
          for (std::size_t r = 0; r < rows; ++r)
            round_row(row + r, first, last, end, errors.block(r, first - begin, 1, last - first));
        }
        if (end < k)
          gemm<T>(T(-1), errors, upper.block(begin, end, end - begin, k - end),
                  work.block(row, end, rows, k - end), true);
      }
    }

    // The end of the block of columns that begins at `begin`. No group of columns whose scale is
    // found in passing begins inside a block that does not contain all of it.
    std::size_t block_end(std::size_t begin) const {
      const std::size_t k = work.cols;
      std::size_t wide = options.block_columns;
      if (!scales_first) {
        const std::size_t to_next = block.cols - begin % block.cols;
        wide = wide < to_next ? wide : to_next + (wide - to_next) / block.cols * block.cols;
      }
      return std::min(k, begin + wide);
    }

    // Rounds columns [first, last) of row r and compensates up to column `end`.
    void round_row(std::size_t r, std::size_t first, std::size_t last, std::size_t end,
                   matrix_view<T> errors) const {
      const row_view<T> w = work.row(r);
      const matrix_view<const T> upper = factor.upper();
      for (std::size_t j = first; j < last; ++j) {
        const std::size_t c = factor.order()[j];
        const T scale = out.scales(r / block.rows, c / block.cols);
        const std::int8_t code = scaled_trit(w[j], scale);
        const T error = (w[j] - static_cast<T>(code) * scale) / upper(j, j);
        out.codes(r, c) = code;
        errors(0, j - first) = error;
        simd::axpy<T>(-error, upper.block(j, j + 1, 1, end - j - 1).row(0),
                      {w.data + j + 1, end - j - 1});
      }
    }
  };
};

}  // namespace tern::inline TERN_ABI
