// Next-token cross-entropy. The gradient is computed for a block of vocabulary columns at a time,
// so that a caller can use each block in the products of the output head and a second N x V matrix
// is not needed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "tern/core/error.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/simd.hpp"
#include "tern/core/tensor.hpp"
#include "tern/nn/softmax.hpp"

namespace tern::inline TERN_ABI {

/// mean_i(logsumexp(logits_i) - logits_i[targets_i]) over the rows whose target is not
/// ignore_index. logits: (N, V); targets: (N); lse: (N), the saved log-sum-exp of every other row.
template <class T>
struct cross_entropy {
  static constexpr std::int32_t ignore_index = -100;  ///< marks a row that does not count

  /// Number of rows that count.
  static std::size_t valid_count(std::span<const std::int32_t> targets) {
    return targets.size() -
           static_cast<std::size_t>(std::count(targets.begin(), targets.end(), ignore_index));
  }

  /// Returns the mean loss, which is 0 if no row counts. Throws shape_error, and config_error if a
  /// target is neither ignore_index nor in [0, V).
  static double forward(matrix_view<const T> logits, std::span<const std::int32_t> targets,
                        row_view<T> lse, executor_ref ex = {}) {
    check(logits, targets, lse.size);
    for_each_row(logits.rows, logits.cols, ex, [&](std::size_t i) {
      if (targets[i] != ignore_index) lse[i] = log_sum_exp<T>(logits.row(i));
    });
    double total = 0;
    for (std::size_t i = 0; i < targets.size(); ++i)
      if (targets[i] != ignore_index)
        total += static_cast<double>(lse[i] - logits(i, static_cast<std::size_t>(targets[i])));
    const std::size_t valid = valid_count(targets);
    return valid == 0 ? 0 : total / static_cast<double>(valid);
  }

  /// block += scale * d loss / d logits for the columns [first_column, first_column + block.cols).
  /// The gradient is (softmax - onehot) / valid in rows that count and 0 in others. block: (N, C).
  static void backward_columns(matrix_view<const T> logits, std::span<const std::int32_t> targets,
                               row_view<const T> lse, T scale, std::size_t first_column,
                               matrix_view<T> block, executor_ref ex = {}) {
    check(logits, targets, lse.size);
    require_columns(logits, first_column, block, "cross_entropy: block");
    const std::size_t valid = valid_count(targets);
    if (valid == 0) return;
    const T each = scale / static_cast<T>(valid);
    const simd::batch<T> factor(each);
    for_each_row(block.rows, block.cols, ex, [&](std::size_t i) {
      if (targets[i] == ignore_index) return;
      const row_view<T> g = block.row(i);
      const simd::batch<T> shift(lse[i]);
      simd::transform(
          g, [&](const auto& sum, const auto& z) { return sum + factor * simd::exp(z - shift); },
          row_view<const T>(g), logits.col_block(first_column, block.cols).row(i));
      const auto target = static_cast<std::size_t>(targets[i]);
      if (target >= first_column && target - first_column < g.size)
        g[target - first_column] -= each;
    });
  }

  /// Throws shape_error unless block has as many rows as logits and its columns are columns of
  /// logits.
  static void require_columns(matrix_view<const T> logits, std::size_t first_column,
                              matrix_view<T> block, const char* what) {
    require_shape(block, logits.rows, block.cols, what);
    if (first_column > logits.cols || block.cols > logits.cols - first_column)
      throw shape_error(std::string(what) + ": columns [" + std::to_string(first_column) + ", " +
                        std::to_string(first_column + block.cols) + ") of " +
                        std::to_string(logits.cols));
  }

 private:
  static void check(matrix_view<const T> logits, std::span<const std::int32_t> targets,
                    std::size_t lse_size) {
    require_size(targets.size(), logits.rows, "cross_entropy: targets");
    require_size(lse_size, logits.rows, "cross_entropy: lse");
    for (std::size_t i = 0; i < targets.size(); ++i)
      if (targets[i] != ignore_index &&
          (targets[i] < 0 || static_cast<std::size_t>(targets[i]) >= logits.cols))
        throw config_error("cross_entropy: target " + std::to_string(targets[i]) + " of row " +
                           std::to_string(i) + " is outside [0, " + std::to_string(logits.cols) +
                           ")");
  }
};

}  // namespace tern::inline TERN_ABI
