// Single-precision matrix product for AVX-512, whatever flags the translation unit has: Eigen uses
// what it is compiled for, and its 512-bit products reach little more than half of the peak.
// The scheme is Goto's (Goto and van de Geijn 2008): a block of A is packed into panels of 8 rows
// that stay in L2, a strip of 32 columns of B stays in L1, a tile of 8 x 32 sums in registers.
//
//   vfmadd231ps zmm   latency 4   2/cycle (1/cycle on Zen 4)
//   tile: 16 products, 2 loads and 8 broadcasts for 8 rows x 32 columns x 1 step of k
#pragma once

#include "tern/core/tensor.hpp"
#include "tern/isa/target.hpp"

#if TERN_X86
#  include <immintrin.h>

#  include <algorithm>
#  include <cstddef>

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl")
namespace tern::inline TERN_ABI::detail::avx512 {

inline constexpr std::size_t lanes = 16, tile_rows = 8, tile_cols = 2 * lanes;
inline constexpr std::size_t block_rows = 256, block_depth = 256;

TERN_INLINE __mmask16 first(std::size_t n) {
  return static_cast<__mmask16>(n >= lanes ? 0xFFFFu : (1u << n) - 1u);
}

// The zero-masked forms: g++ 12 warns of the undefined source inside the plain ones.
TERN_INLINE __m512d low_pairs(__m512 a, __m512 b) {
  return _mm512_castps_pd(_mm512_maskz_unpacklo_ps(0xFFFF, a, b));
}
TERN_INLINE __m512d high_pairs(__m512 a, __m512 b) {
  return _mm512_castps_pd(_mm512_maskz_unpackhi_ps(0xFFFF, a, b));
}
TERN_INLINE __m512 low_quads(__m512d a, __m512d b) {
  return _mm512_castpd_ps(_mm512_maskz_unpacklo_pd(0xFF, a, b));
}
TERN_INLINE __m512 high_quads(__m512d a, __m512d b) {
  return _mm512_castpd_ps(_mm512_maskz_unpackhi_pd(0xFF, a, b));
}
/// Quarters 0 and 2 of both, or 1 and 3.
TERN_INLINE __m512 even_quarters(__m512 a, __m512 b) {
  return _mm512_maskz_shuffle_f32x4(0xFFFF, a, b, 0x88);
}
TERN_INLINE __m512 odd_quarters(__m512 a, __m512 b) {
  return _mm512_maskz_shuffle_f32x4(0xFFFF, a, b, 0xDD);
}

/// 16 x 16: row i of the result holds element i of every row of the argument.
TERN_INLINE void transpose(__m512 (&r)[lanes]) {
  __m512 t[lanes];  // t[4 g + j]: columns j, j + 4, j + 8, j + 12 of rows 4 g ... 4 g + 3
#  pragma GCC unroll 4
  for (std::size_t i = 0; i < lanes; i += 4) {
    const __m512d a = low_pairs(r[i], r[i + 1]), b = high_pairs(r[i], r[i + 1]),
                  c = low_pairs(r[i + 2], r[i + 3]), d = high_pairs(r[i + 2], r[i + 3]);
    t[i] = low_quads(a, c);
    t[i + 1] = high_quads(a, c);
    t[i + 2] = low_quads(b, d);
    t[i + 3] = high_quads(b, d);
  }
#  pragma GCC unroll 4
  for (std::size_t j = 0; j < 4; ++j) {
    const __m512 a = even_quarters(t[j], t[j + 4]), b = odd_quarters(t[j], t[j + 4]),
                 c = even_quarters(t[j + 8], t[j + 12]), d = odd_quarters(t[j + 8], t[j + 12]);
    r[j] = even_quarters(a, c);
    r[j + 4] = even_quarters(b, d);
    r[j + 8] = odd_quarters(a, c);
    r[j + 12] = odd_quarters(b, d);
  }
}

/// Step p of up to 16 lines to to[p * width + i], zeros past the last line. A line is a row of A or
/// a column of B; element p of line i lies at from[i * line + p * step], one of the two being 1.
inline void pack(const float* from, std::size_t lines, std::size_t line, std::size_t depth,
                 std::size_t step, float* to, std::size_t width) {
  if (line == 1) {
    const __mmask16 some = first(lines);
    for (std::size_t p = 0; p < depth; ++p)
      _mm512_mask_storeu_ps(to + p * width, first(width),
                            _mm512_maskz_loadu_ps(some, from + p * step));
    return;
  }
  for (std::size_t p = 0; p < depth; p += lanes) {
    const std::size_t n = std::min(lanes, depth - p);
    __m512 r[lanes];
#  pragma GCC unroll 16
    for (std::size_t i = 0; i < lanes; ++i)
      r[i] = i < lines ? _mm512_maskz_loadu_ps(first(n), from + i * line + p) : _mm512_setzero_ps();
    transpose(r);
#  pragma GCC unroll 16
    for (std::size_t i = 0; i < lanes; ++i)
      if (i < n) _mm512_mask_storeu_ps(to + (p + i) * width, first(width), r[i]);
  }
}

/// c (rows x cols, cols up to 16 * V) = alpha a b, or c += alpha a b; a and b packed.
template <std::size_t V>
inline void tile(float alpha, const float* a, const float* b, std::size_t depth, float* c,
                 std::size_t stride, std::size_t rows, std::size_t cols, bool accumulate) {
  __m512 sum[tile_rows][V];
#  pragma GCC unroll 8
  for (std::size_t i = 0; i < tile_rows; ++i)
#  pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) sum[i][v] = _mm512_setzero_ps();
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t v = 0; v < V; ++v)
      _mm_prefetch(reinterpret_cast<const char*>(c + i * stride + v * lanes), _MM_HINT_T0);
  for (std::size_t p = 0; p < depth; ++p, a += tile_rows, b += tile_cols) {
    __m512 right[V];
#  pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) right[v] = _mm512_loadu_ps(b + v * lanes);
#  pragma GCC unroll 8
    for (std::size_t i = 0; i < tile_rows; ++i) {
      const __m512 left = _mm512_set1_ps(a[i]);
#  pragma GCC unroll 2
      for (std::size_t v = 0; v < V; ++v) sum[i][v] = _mm512_fmadd_ps(left, right[v], sum[i][v]);
    }
  }
  const __m512 factor = _mm512_set1_ps(alpha);
#  pragma GCC unroll 8
  for (std::size_t i = 0; i < tile_rows; ++i)
#  pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) {
      if (i >= rows) continue;
      const __mmask16 some = first(cols - v * lanes);
      float* const at = c + i * stride + v * lanes;
      const __m512 before = accumulate ? _mm512_maskz_loadu_ps(some, at) : _mm512_setzero_ps();
      _mm512_mask_storeu_ps(at, some, _mm512_fmadd_ps(factor, sum[i][v], before));
    }
}

/// c = alpha a b, or c += alpha a b; c row-major, a and b in either order. An element's sum depends
/// on its row and its column alone: no way to split the product changes its bits.
inline void gemm(float alpha, matrix_view<const float> a, matrix_view<const float> b,
                 matrix_view<float> c, bool accumulate) {
  alignas(64) float left[block_rows * block_depth], right[block_depth * tile_cols];
  std::size_t p = 0;
  do {
    const std::size_t depth = std::min(block_depth, a.cols - p);
    const bool add = accumulate || p > 0;
    for (std::size_t r = 0; r < c.rows; r += block_rows) {
      const std::size_t rows = std::min(block_rows, c.rows - r);
      for (std::size_t i = 0; i < rows; i += tile_rows)
        pack(&a(r + i, p), std::min(tile_rows, rows - i), a.row_stride, depth, a.col_stride,
             left + i * depth, tile_rows);
      for (std::size_t j = 0; j < c.cols; j += tile_cols) {
        const std::size_t cols = std::min(tile_cols, c.cols - j);
        for (std::size_t v = 0; v < cols; v += lanes)
          pack(&b(p, j + v), std::min(lanes, cols - v), b.col_stride, depth, b.row_stride,
               right + v, tile_cols);
        const auto one = cols > lanes ? tile<2> : tile<1>;
        for (std::size_t i = 0; i < rows; i += tile_rows)
          one(alpha, left + i * depth, right, depth, &c(r + i, j), c.row_stride,
              std::min(tile_rows, rows - i), cols, add);
      }
    }
    p += block_depth;
  } while (p < a.cols);
}

}  // namespace tern::inline TERN_ABI::detail::avx512
TERN_TARGET_END
#endif
