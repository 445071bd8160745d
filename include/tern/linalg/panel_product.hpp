// A product of floats whose operands are packed into panels that several threads share, for units
// that multiply bf16 numbers. Each operand is packed once for each block of the other one.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "tern/core/executor.hpp"
#include "tern/core/tensor.hpp"
#include "tern/core/thread_scratch.hpp"
#include "tern/quant/quantizer.hpp"

namespace tern::inline TERN_ABI::detail {

/// The right operand of multiply_panels(). Where `scales` is not null, value (k, n) counts
/// scales(k / block.rows, n / block.cols) times, and block.cols is a multiple of 32.
template <class B>
struct panel_operand {
  matrix_view<const B> values;        ///< floats in either order, or codes in row-major order
  matrix_view<const float> scales{};  ///< scale_extents() of the values and `block`, or null
  extents block{1, 1};                ///< rows and columns of values that share a scale
};

/// Packs `cols` columns of b from column `col` on, steps [k, k + depth).
template <class Unit, class B>
void pack_columns_of(const panel_operand<B>& b, std::size_t k, std::size_t depth, std::size_t col,
                     std::size_t cols, std::byte* to) {
  const auto pack = [&](std::size_t first, std::size_t count, const float* factor) {
    Unit::template pack_columns<B>(&b.values(k, col + first), count, b.values.col_stride, depth,
                                   b.values.row_stride, factor, first, to);
  };
  if (!b.scales) return pack(0, cols, nullptr);
  std::array<float, Unit::block_depth> factor{};
  for (std::size_t first = 0, count = 0; first < cols; first += count) {
    const std::size_t at = col + first, block = at / b.block.cols;
    count = std::min(cols - first, (block + 1) * b.block.cols - at);
    for (std::size_t i = 0, row = k / b.block.rows, in_row = k % b.block.rows; i < depth; ++i) {
      factor[i] = b.scales(row, block);
      if (++in_row == b.block.rows) ++row, in_row = 0;
    }
    pack(first, count, factor.data());
  }
}

/// c = alpha a b, or c += alpha a b, where row k of b counts scale[k] times. c is row-major; a has
/// either order. `alpha` and `scale` multiply the elements of a before these are rounded or split,
/// and the scales of b multiply those of b. Strips of rows run in parallel. Fewer than eight strips
/// are cut into two halves each. The sum of an element depends on its row of a and its column of b
/// alone.
///
/// A Unit packs and multiplies. `block_depth` and `block_cols<B>` are the steps of k and the
/// columns of a packed block of b, whose panels have `panel_cols` columns; `strip_rows(rows)` are
/// the rows of a strip. The caller's thread takes a block of b from thread_scratch, and each thread
/// that works takes a strip of a.
template <class Unit, class B>
void multiply_panels(float alpha, matrix_view<const float> a, row_view<const float> scale,
                     const panel_operand<B>& b, matrix_view<float> c, bool accumulate,
                     executor_ref ex) {
  constexpr std::size_t block_cols = Unit::template block_cols<B>, panel = Unit::panel_cols;
  const std::size_t most_cols = (std::min(block_cols, c.cols) + panel - 1) / panel,
                    most_depth = std::min(Unit::block_depth, a.cols);
  const thread_scratch columns(Unit::template panel_bytes<B>(most_depth) * most_cols +
                               Unit::block_depth * sizeof(float));
  auto* const factor = columns.data<float>();
  auto* const right = columns.data<std::byte>() + Unit::block_depth * sizeof(float);
  const std::size_t strip_rows = Unit::strip_rows(c.rows),
                    strips = (c.rows + strip_rows - 1) / strip_rows, halves = strips < 8 ? 2 : 1;
  for (std::size_t j = 0; j < c.cols; j += block_cols)
    for (std::size_t p = 0; p == 0 || p < a.cols; p += Unit::block_depth) {
      const std::size_t cols = std::min(block_cols, c.cols - j),
                        depth = std::min(Unit::block_depth, a.cols - p),
                        bytes = Unit::template panel_bytes<B>(depth);
      for (std::size_t k = 0; k < Unit::block_depth; ++k)
        factor[k] = k < depth ? alpha * scale[p + k] : 0.0f;
      ex.parallel_for(cols, 2 * panel, [&](std::size_t begin, std::size_t end) {
        pack_columns_of<Unit>(b, p, depth, j + begin, end - begin, right + begin / panel * bytes);
      });
      const std::size_t half = ((cols + panel - 1) / panel + halves - 1) / halves * panel;
      ex.parallel_for(strips * halves, 1, [&](std::size_t i, std::size_t) {
        const std::size_t r = i / halves * strip_rows, rows = std::min(strip_rows, c.rows - r),
                          first = i % halves * half;
        if (first >= cols) return;
        const thread_scratch strip(Unit::strip_bytes(rows, depth));
        auto* const left = strip.data<std::byte>();
        Unit::pack_rows(&a(r, p), rows, a.row_stride, depth, a.col_stride, factor, left);
        Unit::template multiply_strip<B>(left, right + first / panel * bytes, depth,
                                         &c(r, j + first), c.row_stride, rows,
                                         std::min(half, cols - first), accumulate || p > 0);
      });
    }
}

}  // namespace tern::inline TERN_ABI::detail
