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

/// A number of steps of k, cut into as few pieces of at most Unit::block_depth as can be. All but
/// the last one have the same size, a multiple of 32.
template <class Unit>
struct depth_pieces {
  std::size_t depth, count, size;

  explicit depth_pieces(std::size_t steps)
      : depth(steps),
        count(std::max<std::size_t>(1, (steps + Unit::block_depth - 1) / Unit::block_depth)),
        size(((steps + count - 1) / count + 31) / 32 * 32) {}
  /// Steps of piece i.
  [[nodiscard]] std::size_t of(std::size_t i) const { return std::min(size, depth - i * size); }
};

/// c = alpha a b, or c += alpha a b, where row k of b counts scale[k] times. c is row-major; a has
/// either order. `alpha` and `scale` multiply the elements of a before these are rounded or split,
/// and the scales of b multiply those of b. Strips of rows run in parallel. Fewer than eight strips
/// are cut into two halves each. The sum of an element depends on its row of a and its column of b
/// alone.
///
/// A Unit packs and multiplies. At most `most_pieces` pieces, each of at most `block_depth` steps
/// of k, and `block_cols<B>` columns of b are packed at a time, in panels of `panel_cols` columns;
/// `strip_rows(rows)` are the rows of a strip. A strip takes one piece after another for each
/// panel, so that the elements of c that it adds to are still in cache. The caller's thread takes
/// the packed part of b from thread_scratch, and each thread that works takes a strip of a.
template <class Unit, class B>
void multiply_panels(float alpha, matrix_view<const float> a, row_view<const float> scale,
                     const panel_operand<B>& b, matrix_view<float> c, bool accumulate,
                     executor_ref ex) {
  constexpr std::size_t block_cols = Unit::template block_cols<B>, panel = Unit::panel_cols,
                        most_depth = Unit::most_pieces * Unit::block_depth;
  const std::size_t most_panels = (std::min(block_cols, c.cols) + panel - 1) / panel;
  const depth_pieces<Unit> longest(std::min(most_depth, a.cols));
  const thread_scratch columns(most_depth * sizeof(float) +
                               longest.count * Unit::template panel_bytes<B>(longest.size) *
                                   most_panels);
  auto* const factor = columns.data<float>();
  auto* const right = columns.data<std::byte>() + most_depth * sizeof(float);
  const std::size_t strip_rows = Unit::strip_rows(c.rows),
                    strips = (c.rows + strip_rows - 1) / strip_rows, halves = strips < 8 ? 2 : 1;
  for (std::size_t j = 0; j < c.cols; j += block_cols)
    for (std::size_t p = 0; p == 0 || p < a.cols; p += most_depth) {
      const std::size_t cols = std::min(block_cols, c.cols - j),
                        panels = (cols + panel - 1) / panel;
      const depth_pieces<Unit> pieces(std::min(most_depth, a.cols - p));
      for (std::size_t k = 0; k < most_depth; ++k)
        factor[k] = k < pieces.depth ? alpha * scale[p + k] : 0.0f;
      // The panels of a piece lie one after another, and the pieces one after another.
      const auto packed = [&](std::size_t i, std::size_t first_panel) {
        const std::size_t before = Unit::template panel_bytes<B>(pieces.size) * i * panels;
        return right + before + Unit::template panel_bytes<B>(pieces.of(i)) * first_panel;
      };
      ex.parallel_for(cols, 2 * panel, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = 0; i < pieces.count; ++i)
          pack_columns_of<Unit>(b, p + i * pieces.size, pieces.of(i), j + begin, end - begin,
                                packed(i, begin / panel));
      });
      const std::size_t half = (panels + halves - 1) / halves * panel;
      ex.parallel_for(strips * halves, 1, [&](std::size_t task, std::size_t) {
        const std::size_t r = task / halves * strip_rows, rows = std::min(strip_rows, c.rows - r),
                          first = task % halves * half, end = std::min(first + half, cols);
        if (first >= cols) return;
        const std::size_t strip_bytes = Unit::strip_bytes(rows, pieces.size);
        const thread_scratch strip(strip_bytes * pieces.count);
        auto* const left = strip.data<std::byte>();
        for (std::size_t i = 0; i < pieces.count; ++i)
          Unit::pack_rows(&a(r, p + i * pieces.size), rows, a.row_stride, pieces.of(i),
                          a.col_stride, factor + i * pieces.size, left + i * strip_bytes);
        const std::size_t side = pieces.count == 1 ? end - first : panel;
        for (std::size_t col = first; col < end; col += side)
          for (std::size_t i = 0; i < pieces.count; ++i)
            Unit::template multiply_strip<B>(left + i * strip_bytes, packed(i, col / panel),
                                             pieces.of(i), &c(r, j + col), c.row_stride, rows,
                                             std::min(side, end - col), accumulate || p + i > 0);
      });
    }
}

}  // namespace tern::inline TERN_ABI::detail
