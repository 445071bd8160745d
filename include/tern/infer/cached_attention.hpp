// Attention of new tokens over a kv_cache. It computes what nn/attention.hpp does, but reads the
// keys and values of all earlier positions from the cache, a tile of positions at a time. As in
// FlashAttention (arXiv 2205.14135) the scores of a tile are not kept: later tiles change the
// results of earlier ones by a factor.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

#include "tern/core/arena.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/tensor.hpp"
#include "tern/core/thread_scratch.hpp"
#include "tern/infer/cache_products.hpp"
#include "tern/infer/kv_cache.hpp"
#include "tern/infer/prompt_attention.hpp"
#include "tern/isa/level.hpp"
#include "tern/nn/attention.hpp"

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
  /// `scratch` holds head_dim + 2 floats for each query of a sequence with few new tokens and each
  /// 1024 positions that it sees, and each thread uses about 256 * (3 * head_dim + 64) floats of
  /// thread_scratch. Throws shape_error.
  static void forward(matrix_view<const float> q, const kv_cache& cache, std::size_t layer,
                      std::span<const cached_rows> parts, const attention_shape& shape,
                      matrix_view<float> y, arena& scratch, executor_ref ex = {}) {
    require_shape(y, q.rows, q.cols, "cached_attention: y");
    require_size(q.cols, shape.q_heads * shape.head_dim, "cached_attention: q");
    const cached_attention all{q, cache, layer, shape, y};
    all.of_many(parts, ex);
    all.of_few(parts, scratch, ex);
  }

 private:
  using band = prompt_attention::band;

  static constexpr std::size_t few = 16;               // most queries that are too few for a band
  static constexpr std::size_t span_positions = 1024;  // positions of a task for few tokens

  matrix_view<const float> q_;
  const kv_cache& cache_;
  std::size_t layer_;
  const attention_shape& shape_;
  matrix_view<float> y_;

  cached_attention(matrix_view<const float> q, const kv_cache& cache, std::size_t layer,
                   const attention_shape& shape, matrix_view<float> y)
      : q_(q), cache_(cache), layer_(layer), shape_(shape), y_(y) {}

  /// Whether a sequence has few new tokens: one, or so few that a band would be mostly padding.
  [[nodiscard]] bool has_few(const cached_rows& p) const {
    return p.rows <= std::max<std::size_t>(1, few / shape_.group());
  }
  /// Columns of q and y that belong to a key/value head.
  template <class T>
  matrix_view<T> heads(matrix_view<T> m, std::size_t row, std::size_t rows,
                       std::size_t head) const {
    const std::size_t width = shape_.group() * shape_.head_dim;
    return m.block(row, head * width, rows, width);
  }
  /// The first position that the token at `position` sees.
  [[nodiscard]] std::size_t first_seen(std::size_t position) const {
    const std::size_t window = cache_.shape().window(layer_);
    return window != 0 && position + 1 > window ? position + 1 - window : 0;
  }

  /// Sequences with many new tokens. Bands with the most positions come first, so that threads end
  /// at about the same time.
  void of_many(std::span<const cached_rows> parts, executor_ref ex) const {
    const std::size_t most = band::most_rows(shape_.group());
    const auto bands_of = [&](const cached_rows& p) {
      return has_few(p) ? 0 : (p.rows + most - 1) / most;
    };
    std::size_t bands = 0;
    for (const cached_rows& p : parts) bands += bands_of(p);
    ex.parallel_for(bands * shape_.kv_heads, 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        std::size_t at = i / shape_.kv_heads, part = 0;
        for (; at >= bands_of(parts[part]); ++part) at -= bands_of(parts[part]);
        const cached_rows& p = parts[part];
        const std::size_t offset = (bands_of(p) - 1 - at) * most;
        one_band(p, offset, std::min(most, p.rows - offset), i % shape_.kv_heads);
      }
    });
  }

  void one_band(const cached_rows& p, std::size_t offset, std::size_t rows,
                std::size_t head) const {
    const std::size_t d = shape_.head_dim, start = cache_.length(p.sequence) + offset,
                      end = start + rows;
    band b{.rows = rows,
           .group = shape_.group(),
           .head_dim = d,
           .start = start,
           .window = cache_.shape().window(layer_),
           .factor = static_cast<float>(shape_.factor())};
    const thread_scratch memory(b.floats() * sizeof(float));
    b.place(memory.data<float>());
    const matrix_view<const float> q = heads(q_, p.row + offset, rows, head);
    prompt_attention::functions<float>.at(isa::active()).begin(b, q.data, q.row_stride);
    for (std::size_t at = first_seen(start); at < end; at += band::positions)
      cache_.visit(
          layer_, p.sequence, head, at, std::min(band::positions, end - at),
          [&]<class E>(std::size_t skip, const stored_rows<E>& keys, const stored_rows<E>& values) {
            const auto& f = prompt_attention::functions<E>.at(isa::active());
            f.widen(keys, b.tile);
            f.score(b, at + skip, keys.rows);
            f.widen(values, b.tile);
            f.mix(b, at + skip, keys.rows);
          });
    const matrix_view<float> y = heads(y_, p.row + offset, rows, head);
    for (std::size_t i = 0; i < b.queries(); ++i)
      scale(b.sums + i * band::padded(d), 1 / b.totals[i],
            y.row(i / b.group).data + i % b.group * d);
  }

  /// to = by * from
  void scale(const float* from, float by, float* to) const {
    for (std::size_t c = 0; c < shape_.head_dim; ++c) to[c] = by * from[c];
  }

  /// The queries of a few tokens for a key/value head, and what a span of positions makes of them.
  struct span_results {
    float* sums;    ///< (queries, head_dim), weights times values
    float* tops;    ///< largest score of each query
    float* totals;  ///< sum of the weights of each query
  };
  /// A sequence with a few new tokens.
  struct few_rows {
    cached_rows part;
    std::size_t first, spans, results;  ///< first position, number of spans, floats before its own
  };

  /// Sequences with a few new tokens. The positions of each are cut into spans, whose results are
  /// put together in their order, so that a long sequence occupies more threads than it has heads.
  void of_few(std::span<const cached_rows> parts, arena& scratch, executor_ref ex) const {
    const arena_scope temporaries(scratch);
    auto* const all = scratch.allocate<few_rows>(parts.size());
    std::size_t n = 0, tasks = 0, floats = 0, longest = 0;
    for (const cached_rows& p : parts) {
      if (!has_few(p)) continue;
      const std::size_t start = cache_.length(p.sequence), first = first_seen(start),
                        seen = start + p.rows - first;
      const std::size_t spans = (seen + span_positions - 1) / span_positions;
      all[n++] = {p, first, spans, floats};
      tasks += spans;
      floats += spans * shape_.kv_heads * floats_of(p);
      longest = std::max(longest, std::min(seen, span_positions) * p.rows * shape_.group());
    }
    if (n == 0) return;
    auto* const results = scratch.allocate<float>(floats);
    // A chunk of 2^16 multiply-adds is worth a thread.
    const std::size_t work = 2 * longest * shape_.head_dim;
    const std::size_t heads = shape_.kv_heads;
    ex.parallel_for(tasks * heads, (std::size_t{1} << 16) / work + 1,
                    [&](std::size_t begin, std::size_t end) {
                      for (std::size_t i = begin; i < end; ++i) {
                        std::size_t at = i / heads, k = 0;
                        for (; at >= all[k].spans; ++k) at -= all[k].spans;
                        one_span(all[k], at, i % heads, results);
                      }
                    });
    ex.parallel_for(n * heads, (std::size_t{1} << 16) / (shape_.head_dim * shape_.group()) + 1,
                    [&](std::size_t begin, std::size_t end) {
                      for (std::size_t i = begin; i < end; ++i)
                        put_together(all[i / heads], i % heads, results);
                    });
  }

  [[nodiscard]] std::size_t floats_of(const cached_rows& p) const {
    return p.rows * shape_.group() * (shape_.head_dim + 2);
  }
  [[nodiscard]] span_results results_of(const few_rows& r, std::size_t span, std::size_t head,
                                        float* results) const {
    const std::size_t queries = r.part.rows * shape_.group();
    float* const sums = results + r.results + (head * r.spans + span) * floats_of(r.part);
    float* const tops = sums + queries * shape_.head_dim;
    return {sums, tops, tops + queries};
  }

  void one_span(const few_rows& r, std::size_t span, std::size_t head, float* results) const {
    const std::size_t d = shape_.head_dim, group = shape_.group(), queries = r.part.rows * group,
                      start = cache_.length(r.part.sequence),
                      begin = r.first + span * span_positions,
                      end = std::min(begin + span_positions, start + r.part.rows);
    const std::size_t stride = (end - begin + 63) / 64 * 64;
    const thread_scratch memory(queries * (d + stride) * sizeof(float));
    float *const scores = memory.data<float>(), *const q = scores + queries * stride;
    for (std::size_t i = 0; i < r.part.rows; ++i)
      std::copy_n(heads(q_, r.part.row + i, 1, head).data, group * d, q + i * group * d);
    const span_results to = results_of(r, span, head, results);
    std::fill_n(to.tops, queries, std::numeric_limits<float>::lowest());
    std::fill_n(to.totals, queries, 0.0f);
    std::fill_n(to.sums, queries * d, 0.0f);
    cache_.visit(
        layer_, r.part.sequence, head, begin, end - begin,
        [&]<class E>(std::size_t skip, const stored_rows<E>& keys, const stored_rows<E>& values) {
          const auto& f = cache_products::products<E>.at(isa::active());
          f.scores(q, d, queries, keys, static_cast<float>(shape_.factor()), scores, stride);
          for (std::size_t i = 0; i < queries; ++i)
            weigh(f.weigh, scores + i * stride, begin + skip, keys.rows, start + i / group,
                  to.tops[i], to.totals[i], to.sums + i * d);
          f.mix(scores, stride, queries, values, to.sums, d, true);
        });
  }

  /// Makes weights of the scores of a query at `position` for n positions from `first` on, and
  /// changes the results of earlier ones accordingly.
  void weigh(float (*weights)(float*, std::size_t, float&), float* s, std::size_t first,
             std::size_t n, std::size_t position, float& top, float& total, float* sums) const {
    constexpr float unseen = -std::numeric_limits<float>::infinity();
    const std::size_t from = first_seen(position), to = position + 1;
    if (from > first) std::fill_n(s, std::min(from - first, n), unseen);
    if (to < first + n) std::fill(s + (to > first ? to - first : 0), s + n, unseen);
    const float before = top;
    const float sum = weights(s, n, top), by = std::exp(before - top);
    total = total * by + sum;
    scale(sums, by, sums);
  }

  /// Adds the results of all spans and divides them by the sums of weights.
  void put_together(const few_rows& r, std::size_t head, float* results) const {
    const std::size_t d = shape_.head_dim, group = shape_.group();
    for (std::size_t i = 0; i < r.part.rows * group; ++i) {
      const span_results first = results_of(r, 0, head, results);
      float top = first.tops[i], total = 0;
      for (std::size_t s = 1; s < r.spans; ++s)
        top = std::max(top, results_of(r, s, head, results).tops[i]);
      float* const y = heads(y_, r.part.row + i / group, 1, head).data + i % group * d;
      std::fill_n(y, d, 0.0f);
      for (std::size_t s = 0; s < r.spans; ++s) {
        const span_results one = results_of(r, s, head, results);
        const float by = std::exp(one.tops[i] - top);
        total += by * one.totals[i];
        for (std::size_t c = 0; c < d; ++c) y[c] += by * one.sums[i * d + c];
      }
      scale(y, 1 / total, y);
    }
  }
};

}  // namespace tern::inline TERN_ABI
