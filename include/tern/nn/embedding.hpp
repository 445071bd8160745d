// Token embedding: the lookup of table rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "tern/core/error.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/simd.hpp"
#include "tern/core/tensor.hpp"
#include "tern/nn/rowwise.hpp"

namespace tern::inline TERN_ABI {

template <class T>
struct embedding {
  /// y[i] = scale * table[tokens[i]]. table: (V, D), y: (N, D). Throws shape_error, and
  /// config_error for an id outside [0, V), before it writes anything.
  static void forward(std::span<const std::int32_t> tokens, matrix_view<const T> table,
                      matrix_view<T> y, executor_ref ex = {}, T scale = T(1)) {
    require_shape(y, tokens.size(), table.cols, "embedding: y");
    require_ids(tokens, table.rows);
    const simd::batch<T> factor(scale);
    for_each_row(y.rows, y.cols, ex, [&](std::size_t r) {
      simd::transform(
          y.row(r), [&](const auto& v) { return v * factor; }, table.row(index(tokens[r])));
    });
  }

  /// dtable[tokens[i]] += scale * dy[i]. Every element is added to in the order of i, so the sums
  /// for repeated tokens have the same bits for any number of threads. A null dtable is skipped.
  static void backward(matrix_view<const T> dy, std::span<const std::int32_t> tokens,
                       matrix_view<T> dtable, executor_ref ex = {}, T scale = T(1)) {
    if (!dtable) return;
    require_shape(dy, tokens.size(), dtable.cols, "embedding: dy");
    require_ids(tokens, dtable.rows);
    for_column_blocks(dy.rows, dy.cols, ex, [&](std::size_t first, std::size_t count) {
      const matrix_view<const T> from = dy.col_block(first, count);
      const matrix_view<T> to = dtable.col_block(first, count);
      for (std::size_t r = 0; r < dy.rows; ++r)
        simd::axpy(scale, from.row(r), to.row(index(tokens[r])));
    });
  }

  /// Throws config_error for an id outside [0, vocabulary).
  static void require_ids(std::span<const std::int32_t> tokens, std::size_t vocabulary) {
    for (std::size_t i = 0; i < tokens.size(); ++i)
      if (tokens[i] < 0 || index(tokens[i]) >= vocabulary)
        throw config_error("embedding: token " + std::to_string(i) + " has id " +
                           std::to_string(tokens[i]) + ", the table has " +
                           std::to_string(vocabulary) + " rows");
  }

 private:
  static std::size_t index(std::int32_t id) { return static_cast<std::size_t>(id); }
};

}  // namespace tern::inline TERN_ABI
