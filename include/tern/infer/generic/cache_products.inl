// A few query rows times the keys or the values of a head as the cache stores them, included once
// for each level inside its region. The sum of an element always has the same order, whatever rows
// and positions are computed with it.
//
// ops has operations on registers of floats, and
//   most_rows   the largest number of query rows that are computed together
//   sums        the number of registers for sums of values

#include "tern/infer/generic/exponential.inl"

/// Loads n elements, at most a register, and zeros behind them.
template <class E>
TERN_INLINE ops::reg load(const E* p, std::size_t n) {
  if (n == ops::lanes) return ops::load(p);
  E part[ops::lanes] = {};
  std::memcpy(part, p, n * sizeof(E));
  return ops::load(part);
}

/// Does the same with elements of the cache. It also prefetches the same place of the next page,
/// since processors by themselves do not read on past the end of a page.
template <class E>
TERN_INLINE ops::reg load_stored(const E* p, std::size_t n) {
  __builtin_prefetch(p + 4096 / sizeof(E));
  return load(p, n);
}

/// Adds the products of the next n columns, at most a register, of R rows of q and four of k.
template <std::size_t R, class E>
TERN_INLINE void score_step(ops::reg (&sum)[R][4], const float* q, std::size_t q_stride,
                            const E* const (&k)[4], std::size_t c, std::size_t n) {
  ops::reg x[4];
#pragma GCC unroll 4
  for (std::size_t i = 0; i < 4; ++i) x[i] = load_stored(k[i] + c, n);
#pragma GCC unroll 4
  for (std::size_t r = 0; r < R; ++r) {
    const ops::reg y = load(q + r * q_stride + c, n);
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 4; ++i) sum[r][i] = ops::multiply_add(x[i], y, sum[r][i]);
  }
}

/// Scores of R query rows.
template <std::size_t R, class E>
inline void score_rows(const float* q, std::size_t q_stride, const stored_rows<E>& k, float factor,
                       float* s, std::size_t s_stride) {
  for (std::size_t j = 0; j < k.rows; j += 4) {
    const std::size_t count = k.rows - j < 4 ? k.rows - j : 4;
    const E* at[4];
    for (std::size_t i = 0; i < 4; ++i) at[i] = k.data + (j + (i < count ? i : 0)) * k.cols;
    ops::reg sum[R][4] = {};
    std::size_t c = 0;
    for (; c + ops::lanes <= k.cols; c += ops::lanes)
      score_step<R>(sum, q, q_stride, at, c, ops::lanes);
    if (c < k.cols) score_step<R>(sum, q, q_stride, at, c, k.cols - c);
#pragma GCC unroll 4
    for (std::size_t r = 0; r < R; ++r) {
      float four[4];
      ops::store_totals(four, sum[r][0], sum[r][1], sum[r][2], sum[r][3]);
      for (std::size_t i = 0; i < count; ++i)
        s[r * s_stride + j + i] = factor * four[i] * (k.scales != nullptr ? k.scales[j + i] : 1.0f);
    }
  }
}

/// s[r][j] = factor * q[r] . k[j] for all rows of q and k.
template <class E, std::size_t R = ops::most_rows>
inline void scores(const float* q, std::size_t q_stride, std::size_t rows, const stored_rows<E>& k,
                   float factor, float* s, std::size_t s_stride) {
  for (; rows >= R; rows -= R, q += R * q_stride, s += R * s_stride)
    score_rows<R>(q, q_stride, k, factor, s, s_stride);
  if constexpr (R > 1) scores<E, R / 2>(q, q_stride, rows, k, factor, s, s_stride);
}

/// Computes C registers of columns from c on, with n elements each.
template <std::size_t R, std::size_t C, class E>
TERN_INLINE void mix_columns(const float* p, std::size_t p_stride, const stored_rows<E>& v,
                             std::size_t c, std::size_t n, float* y, std::size_t y_stride,
                             bool add) {
  ops::reg sum[R][C];
#pragma GCC unroll 4
  for (std::size_t r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (std::size_t i = 0; i < C; ++i) {
      const float* const at = y + r * y_stride + c + i * ops::lanes;
      sum[r][i] = add ? load(at, n) : ops::fill(0);
    }
  const E* x = v.data + c;
  for (std::size_t j = 0; j < v.rows; ++j, x += v.cols) {
    const float scale = v.scales != nullptr ? v.scales[j] : 1.0f;
    ops::reg weight[R];
#pragma GCC unroll 4
    for (std::size_t r = 0; r < R; ++r) weight[r] = ops::fill(p[r * p_stride + j] * scale);
#pragma GCC unroll 8
    for (std::size_t i = 0; i < C; ++i) {
      const ops::reg value = load_stored(x + i * ops::lanes, n);
#pragma GCC unroll 4
      for (std::size_t r = 0; r < R; ++r)
        sum[r][i] = ops::multiply_add(weight[r], value, sum[r][i]);
    }
  }
#pragma GCC unroll 4
  for (std::size_t r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (std::size_t i = 0; i < C; ++i) {
      float* const at = y + r * y_stride + c + i * ops::lanes;
      float whole[ops::lanes];
      ops::store(n == ops::lanes ? at : whole, sum[r][i]);
      if (n != ops::lanes) std::memcpy(at, whole, n * sizeof(float));
    }
}

/// y[r] = sum_j p[r][j] v[j], or y[r] += that sum where `add` is set.
template <class E, std::size_t R = ops::most_rows>
inline void mix(const float* p, std::size_t p_stride, std::size_t rows, const stored_rows<E>& v,
                float* y, std::size_t y_stride, bool add) {
  constexpr std::size_t wide = ops::sums / R < 8 ? ops::sums / R : 8, step = wide * ops::lanes;
  for (; rows >= R; rows -= R, p += R * p_stride, y += R * y_stride) {
    std::size_t c = 0;
    for (; c + step <= v.cols; c += step)
      mix_columns<R, wide>(p, p_stride, v, c, ops::lanes, y, y_stride, add);
    for (; c + ops::lanes <= v.cols; c += ops::lanes)
      mix_columns<R, 1>(p, p_stride, v, c, ops::lanes, y, y_stride, add);
    if (c < v.cols) mix_columns<R, 1>(p, p_stride, v, c, v.cols - c, y, y_stride, add);
  }
  if constexpr (R > 1) mix<E, R / 2>(p, p_stride, rows, v, y, y_stride, add);
}

/// Replaces n scores by exp(score - top), where top becomes the largest of them and of its value
/// before. Returns the sum of the new numbers. s has room for n rounded up to a multiple of 64.
inline float weigh(float* s, std::size_t n, float& top) {
  constexpr std::size_t parts = 4, step = parts * ops::lanes;
  static_assert(64 % step == 0);
  const std::size_t end = (n + step - 1) / step * step;
  std::fill(s + n, s + end, -std::numeric_limits<float>::infinity());
  ops::reg most[parts], sum[parts];
#pragma GCC unroll 4
  for (std::size_t k = 0; k < parts; ++k) most[k] = ops::fill(top), sum[k] = ops::fill(0);
  for (std::size_t i = 0; i < end; i += step)
#pragma GCC unroll 4
    for (std::size_t k = 0; k < parts; ++k)
      most[k] = ops::max(ops::load(s + i + k * ops::lanes), most[k]);
  float each[ops::lanes];
  ops::store(each, ops::max(ops::max(most[0], most[1]), ops::max(most[2], most[3])));
  for (const float one : each) top = one > top ? one : top;
  const ops::reg shift = ops::fill(top);
  for (std::size_t i = 0; i < end; i += step)
#pragma GCC unroll 4
    for (std::size_t k = 0; k < parts; ++k) {
      float* const at = s + i + k * ops::lanes;
      const ops::reg p = exponential(ops::load(at) - shift);
      sum[k] += p;
      ops::store(at, p);
    }
  ops::store(each, (sum[0] + sum[1]) + (sum[2] + sum[3]));
  float total = 0;
  for (const float one : each) total += one;
  return total;
}
