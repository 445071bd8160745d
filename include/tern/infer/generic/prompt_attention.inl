// Attention of a band of many queries over the keys and values of a head, included once for each
// level inside its region. Lanes are queries while scores are made, and columns of values while
// these are mixed, so that only the queries have to be transposed, once for a band. As in
// FlashAttention (arXiv 2205.14135) the results of a tile of positions are added to those of the
// tiles before it, which are scaled where the largest score grows.
//
// ops has the operations of isa/registers/ on floats, and
//   tile_rows   the positions, or the queries, whose sums stay in registers together
//   pack        the transposition of linalg/generic/gemm.inl

#include "tern/infer/generic/exponential.inl"

/// Queries of a panel, and columns of values that are mixed at once.
inline constexpr std::size_t panel = 2 * ops::lanes;
static_assert(band::widest % panel == 0 && panel % ops::tile_rows == 0);

/// Copies the band's queries into panels, transposed, and clears the results.
inline void begin(const band& b, const float* q, std::size_t q_stride) {
  const std::size_t dim = b.head_dim, padded = band::padded(b.queries());
  const std::size_t width = band::padded(dim), size = padded * width;
  for (std::size_t query = 0; query < b.queries(); ++query)
    std::copy_n(q + query / b.group * q_stride + query % b.group * dim, dim,
                b.sums + query * width);
  for (std::size_t query = 0; query < padded; query += panel)
    ops::pack(b.sums + query * width, std::min(panel, b.queries() - std::min(query, b.queries())),
              width, dim, b.packed + query * dim, panel);
  std::fill_n(b.sums, size, 0.0f);
  std::fill_n(b.totals, padded, 0.0f);
  std::fill_n(b.tops, padded, std::numeric_limits<float>::lowest());
}

/// Converts rows of the cache to floats, with zeros up to a padded width.
template <class E>
inline void widen(const stored_rows<E>& x, float* to) {
  const std::size_t width = band::padded(x.cols);
  for (std::size_t j = 0; j < x.rows; ++j, to += width) {
    const E* const from = x.data + j * x.cols;
    const ops::reg scale = ops::fill(x.scales != nullptr ? x.scales[j] : 1.0f);
    std::size_t c = 0;
    for (; c + ops::lanes <= x.cols; c += ops::lanes)
      ops::store(to + c, ops::load(from + c) * scale);
    if (c == width) continue;
    E rest[ops::lanes] = {};
    std::copy_n(from + c, x.cols - c, rest);
    ops::store(to + c, ops::load(rest) * scale);
    std::fill(to + c + ops::lanes, to + width, 0.0f);
  }
}

/// Scores of a panel of queries and of tile_rows positions: s[j][i] = factor * k[j] . q[i].
TERN_INLINE void score_tile(const float* const (&k)[ops::tile_rows], const float* q,
                            std::size_t dim, float factor, float* s) {
  ops::reg sum[ops::tile_rows][2];
#pragma GCC unroll 8
  for (std::size_t j = 0; j < ops::tile_rows; ++j) sum[j][0] = sum[j][1] = ops::fill(0);
  for (std::size_t c = 0; c < dim; ++c, q += panel) {
    const ops::reg a = ops::load(q), b = ops::load(q + ops::lanes);
#pragma GCC unroll 8
    for (std::size_t j = 0; j < ops::tile_rows; ++j) {
      const ops::reg key = ops::fill(k[j][c]);
      sum[j][0] = ops::multiply_add(key, a, sum[j][0]);
      sum[j][1] = ops::multiply_add(key, b, sum[j][1]);
    }
  }
  const ops::reg by = ops::fill(factor);
#pragma GCC unroll 8
  for (std::size_t j = 0; j < ops::tile_rows; ++j)
#pragma GCC unroll 2
    for (std::size_t v = 0; v < 2; ++v)
      ops::store(s + j * panel + v * ops::lanes, sum[j][v] * by);
}

/// Replaces the scores of the positions [from, to) of a panel by exp(score - top), where top is
/// the largest score of the query so far. Stores top, adds to the total, and stores the factor of
/// the results of earlier tiles.
TERN_INLINE void weigh(float* s, std::size_t from, std::size_t to, float* tops, float* totals,
                       float* corrections) {
  ops::reg top[2], sum[2];
#pragma GCC unroll 2
  for (std::size_t v = 0; v < 2; ++v) {
    top[v] = ops::load(tops + v * ops::lanes);
    sum[v] = ops::fill(0);
  }
  for (std::size_t j = from; j < to; ++j) {
#pragma GCC unroll 2
    for (std::size_t v = 0; v < 2; ++v)
      top[v] = ops::max(ops::load(s + j * panel + v * ops::lanes), top[v]);
  }
  for (std::size_t j = from; j < to; ++j) {
#pragma GCC unroll 2
    for (std::size_t v = 0; v < 2; ++v) {
      float* const at = s + j * panel + v * ops::lanes;
      const ops::reg p = exponential(ops::load(at) - top[v]);
      sum[v] += p;
      ops::store(at, p);
    }
  }
#pragma GCC unroll 2
  for (std::size_t v = 0; v < 2; ++v) {
    const std::size_t at = v * ops::lanes;
    const ops::reg correction = exponential(ops::load(tops + at) - top[v]);
    ops::store(tops + at, top[v]);
    ops::store(corrections + at, correction);
    ops::store(totals + at, ops::multiply_add(ops::load(totals + at), correction, sum[v]));
  }
}

/// Makes the weights of all queries for a tile of positions, whose keys are b.tile.
inline void score(const band& b, std::size_t first, std::size_t count) {
  const std::size_t dim = b.head_dim, width = band::padded(dim);
  constexpr float unseen = -std::numeric_limits<float>::infinity();
  for (std::size_t query = 0; query < b.queries(); query += panel) {
    const auto [from, to] = b.seen(query, std::min(panel, b.queries() - query), first, count);
    if (from >= to) continue;
    float* const s = b.scores + query * band::positions;
    for (std::size_t j = from / ops::tile_rows * ops::tile_rows; j < to; j += ops::tile_rows) {
      const float* rows[ops::tile_rows];
      for (std::size_t i = 0; i < ops::tile_rows; ++i)
        rows[i] = b.tile + std::min(j + i, count - 1) * width;
      score_tile(rows, b.packed + query * dim, dim, b.factor, s + j * panel);
    }
    for (std::size_t j = from; j < to; ++j) {
      const auto [low, high] = b.seeing(first + j);
      std::fill_n(s + j * panel, std::clamp(low, query, query + panel) - query, unseen);
      const std::size_t end = std::clamp(high, query, query + panel) - query;
      std::fill_n(s + j * panel + end, panel - end, unseen);
    }
    weigh(s, from, to, b.tops + query, b.totals + query, b.corrections + query);
  }
}

/// Adds weights times values to the results of tile_rows queries: `columns` columns, a multiple of
/// `panel`, of the values [from, to).
TERN_INLINE void mix_tile(const float* p, std::size_t from, std::size_t to, const float* v,
                          std::size_t columns, const float* corrections, float* y) {
  for (std::size_t c = 0; c < columns; c += panel) {
    ops::reg sum[ops::tile_rows][2];
#pragma GCC unroll 8
    for (std::size_t i = 0; i < ops::tile_rows; ++i) sum[i][0] = sum[i][1] = ops::fill(0);
    for (std::size_t j = from; j < to; ++j) {
      const ops::reg a = ops::load(v + j * columns + c),
                     b = ops::load(v + j * columns + c + ops::lanes);
#pragma GCC unroll 8
      for (std::size_t i = 0; i < ops::tile_rows; ++i) {
        const ops::reg weight = ops::fill(p[j * panel + i]);
        sum[i][0] = ops::multiply_add(weight, a, sum[i][0]);
        sum[i][1] = ops::multiply_add(weight, b, sum[i][1]);
      }
    }
#pragma GCC unroll 8
    for (std::size_t i = 0; i < ops::tile_rows; ++i)
#pragma GCC unroll 2
      for (std::size_t half = 0; half < 2; ++half) {
        float* const at = y + i * columns + c + half * ops::lanes;
        ops::store(at,
                   ops::multiply_add(ops::load(at), ops::fill(corrections[i]), sum[i][half]));
      }
  }
}

/// Adds the values of a tile of positions, b.tile, with the weights that score() has made.
inline void mix(const band& b, std::size_t first, std::size_t count) {
  const std::size_t width = band::padded(b.head_dim);
  for (std::size_t query = 0; query < b.queries(); query += ops::tile_rows) {
    const auto [from, to] =
        b.seen(query, std::min(ops::tile_rows, b.queries() - query), first, count);
    if (from >= to) continue;
    mix_tile(b.scores + query / panel * panel * band::positions + query % panel, from, to, b.tile,
             width, b.corrections + query, b.sums + query * width);
  }
}
