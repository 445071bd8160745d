// Attention of new tokens over a kv_cache. It computes what nn/attention.hpp does, but reads the
// keys and values of all earlier positions from the cache, a tile of positions at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "tern/core/arena.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/simd.hpp"
#include "tern/core/tensor.hpp"
#include "tern/infer/cache_products.hpp"
#include "tern/infer/kv_cache.hpp"
#include "tern/isa/level.hpp"
#include "tern/linalg/gemm.hpp"
#include "tern/nn/attention.hpp"
#include "tern/nn/score_band.hpp"
#include "tern/nn/softmax.hpp"

namespace tern::inline TERN_ABI {

/// The new tokens of a sequence: rows [row, row + rows) of a batch, whose positions follow the
/// present length of the sequence.
struct cached_rows {
  std::size_t sequence = 0;  ///< index of the sequence in the cache
  std::size_t row = 0;       ///< first row of the batch that belongs to it
  std::size_t rows = 0;      ///< number of its rows
};

/// Grouped-query attention with causal mask.
class cached_attention {
 public:
  /// y_i = sum_j p_ij v_j over the positions j that i sees, p_i = softmax_j(scale * q_i . k_j).
  /// q, y: (N, q_heads * head_dim) with contiguous rows. The caller has appended the keys and
  /// values of the new positions, and has not yet advanced their sequences. While it runs,
  /// `scratch` holds at most 8 * 64 * (T + 128) floats, where T is the length of the longest
  /// sequence. Throws shape_error.
  static void forward(matrix_view<const float> q, const kv_cache& cache, std::size_t layer,
                      std::span<const cached_rows> parts, const attention_shape& shape,
                      matrix_view<float> y, arena& scratch, executor_ref ex = {}) {
    require_shape(y, q.rows, q.cols, "cached_attention: y");
    require_size(q.cols, shape.q_heads * shape.head_dim, "cached_attention: q");
    const arena_scope temporaries(scratch);
    const std::size_t bands_of = std::max<std::size_t>(1, most_rows / shape.group());
    std::size_t tasks = 0, longest = 0, most = 0;
    for (const cached_rows& p : parts) {
      tasks += (p.rows + bands_of - 1) / bands_of * shape.kv_heads;
      longest = std::max(longest, cache.length(p.sequence) + p.rows);
      most = std::max(most, std::min(p.rows, bands_of) * shape.group());
    }
    const std::size_t grain = std::max<std::size_t>(1, (tasks + most_chunks - 1) / most_chunks);
    const std::size_t width = (longest + 15) / 16 * 16, size = most * width;
    auto* const scores = scratch.allocate<float>((tasks + grain - 1) / grain * size);
    auto* const tiles =
        scratch.allocate<float>((tasks + grain - 1) / grain * tile * shape.head_dim);
    ex.parallel_for(tasks, grain, [&](std::size_t begin, std::size_t end) {
      const matrix_view<float> mine(scores + begin / grain * size, most, width);
      float* const buffer = tiles + begin / grain * tile * shape.head_dim;
      for (std::size_t i = begin; i < end; ++i)
        one(q, cache, layer, task_of(parts, i, bands_of, shape.kv_heads), shape, y, mine, buffer);
    });
  }

 private:
  static constexpr std::size_t most_rows = score_band::most_rows, most_chunks = 8, tile = 64;

  /// Some new rows of a sequence, for one key/value head.
  struct task {
    std::size_t sequence, row, rows, offset, head;
  };

  /// Task i of all.
  static task task_of(std::span<const cached_rows> parts, std::size_t i, std::size_t band,
                      std::size_t heads) {
    for (const cached_rows& p : parts) {
      const std::size_t here = (p.rows + band - 1) / band * heads;
      if (i >= here) {
        i -= here;
        continue;
      }
      const std::size_t offset = i / heads * band;
      return {p.sequence, p.row + offset, std::min(band, p.rows - offset), offset, i % heads};
    }
    return {};
  }

  static void one(matrix_view<const float> q, const kv_cache& cache, std::size_t layer,
                  const task& t, const attention_shape& shape, matrix_view<float> y,
                  matrix_view<float> scores, float* buffer) {
    const std::size_t d = shape.head_dim, group = shape.group();
    const std::size_t start = cache.length(t.sequence) + t.offset, end = start + t.rows;
    const score_band band(start, end, true, cache.shape().window(layer));
    const auto heads = [&](auto& m) {
      return m.block(t.row, t.head * group * d, t.rows, group * d);
    };
    const auto factor = static_cast<float>(shape.factor());
    for (std::size_t at = band.begin; at < end; at += tile)
      cache.visit_keys(layer, t.sequence, t.head, at, std::min(tile, end - at),
                       [&](std::size_t skip, const auto& k) {
                         score(factor, heads(q), k,
                               scores.block(0, at + skip - band.begin, group * t.rows, k.rows),
                               buffer);
                       });
    for (std::size_t g = 0; g < group; ++g)
      band.mask(scores.block(g * t.rows, 0, t.rows, band.cols));
    for (std::size_t i = 0; i < group * t.rows; ++i) {
      const row_view<float> row(scores.row(i).data, band.cols);
      float sum;
      exponentials(row, sum);
      const simd::batch<float> by(1 / sum);
      simd::transform(
          row, [&](const auto& p) { return p * by; }, row_view<const float>(row));
    }
    for (std::size_t at = band.begin; at < end; at += tile)
      cache.visit_values(layer, t.sequence, t.head, at, std::min(tile, end - at),
                         [&](std::size_t skip, const auto& v) {
                           mix(scores.block(0, at + skip - band.begin, group * t.rows, v.rows), v,
                               heads(y), at + skip != band.begin, buffer);
                         });
  }

  static constexpr std::size_t few = 4;  // for up to 4 rows it does not pay to pack operands

  /// z = factor * q k^T. Row h * q.rows + i of z belongs to head h of row i of q.
  template <class E>
  static void score(float factor, matrix_view<const float> q, const stored_rows<E>& k,
                    matrix_view<float> z, float* buffer) {
    const std::size_t n = q.rows, heads = q.cols / k.cols;
    if (n <= few) {
      const auto scores = cache_products::products<E>.at(isa::active()).scores;
      for (std::size_t i = 0; i < n; ++i)
        scores(q.row(i).data, k.cols, heads, k, factor, z.row(i).data, n * z.row_stride);
      return;
    }
    to_floats(k, buffer);
    for (std::size_t h = 0; h < heads; ++h)
      detail::gemm_block<float>(factor, q.col_block(h * k.cols, k.cols),
                                matrix_view<const float>(buffer, k.rows, k.cols).transposed(),
                                z.row_block(h * n, n), false);
  }

  /// y = p v, or y += p v, with rows as in score().
  template <class E>
  static void mix(matrix_view<const float> p, const stored_rows<E>& v, matrix_view<float> y,
                  bool add, float* buffer) {
    const std::size_t n = y.rows, heads = y.cols / v.cols;
    if (n <= few) {
      const auto mix = cache_products::products<E>.at(isa::active()).mix;
      for (std::size_t i = 0; i < n; ++i)
        mix(p.row(i).data, n * p.row_stride, heads, v, y.row(i).data, v.cols, add);
      return;
    }
    to_floats(v, buffer);
    for (std::size_t h = 0; h < heads; ++h)
      detail::gemm_block<float>(1, p.row_block(h * n, n),
                                matrix_view<const float>(buffer, v.rows, v.cols),
                                y.col_block(h * v.cols, v.cols), add);
  }
};

}  // namespace tern::inline TERN_ABI
