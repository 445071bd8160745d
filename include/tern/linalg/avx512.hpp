// Single-precision matrix product for AVX-512, whatever flags the translation unit has.
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

struct ops {
  using scalar = float;
  using reg = __m512;
  static constexpr std::size_t lanes = 16, tile_rows = 8;

  TERN_INLINE static reg zero() { return _mm512_setzero_ps(); }
  TERN_INLINE static reg fill(float x) { return _mm512_set1_ps(x); }
  TERN_INLINE static reg load(const float* p) { return _mm512_loadu_ps(p); }
  TERN_INLINE static void store(float* p, reg a) { _mm512_storeu_ps(p, a); }
  /// Of up to `lanes` elements; the others are zero.
  TERN_INLINE static reg load(const float* p, std::size_t n) {
    return _mm512_maskz_loadu_ps(first(n), p);
  }
  TERN_INLINE static void store(float* p, reg a, std::size_t n) {
    _mm512_mask_storeu_ps(p, first(n), a);
  }
  TERN_INLINE static __mmask16 first(std::size_t n) {
    return static_cast<__mmask16>(n >= lanes ? 0xFFFFu : (1u << n) - 1u);
  }
  TERN_INLINE static reg multiply_add(reg a, reg b, reg c) { return _mm512_fmadd_ps(a, b, c); }

  /// 16 x 16: row i of the result holds element i of every row of the argument.
  TERN_INLINE static void transpose(reg (&r)[lanes]) {
    reg t[lanes];  // t[4 g + j]: columns j, j + 4, j + 8, j + 12 of rows 4 g ... 4 g + 3
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
      const reg a = even_quarters(t[j], t[j + 4]), b = odd_quarters(t[j], t[j + 4]),
                c = even_quarters(t[j + 8], t[j + 12]), d = odd_quarters(t[j + 8], t[j + 12]);
      r[j] = even_quarters(a, c);
      r[j + 4] = even_quarters(b, d);
      r[j + 8] = odd_quarters(a, c);
      r[j + 12] = odd_quarters(b, d);
    }
  }

 private:
  // The zero-masked forms: g++ 12 warns of the undefined source inside the plain ones.
  TERN_INLINE static __m512d low_pairs(reg a, reg b) {
    return _mm512_castps_pd(_mm512_maskz_unpacklo_ps(0xFFFF, a, b));
  }
  TERN_INLINE static __m512d high_pairs(reg a, reg b) {
    return _mm512_castps_pd(_mm512_maskz_unpackhi_ps(0xFFFF, a, b));
  }
  TERN_INLINE static reg low_quads(__m512d a, __m512d b) {
    return _mm512_castpd_ps(_mm512_maskz_unpacklo_pd(0xFF, a, b));
  }
  TERN_INLINE static reg high_quads(__m512d a, __m512d b) {
    return _mm512_castpd_ps(_mm512_maskz_unpackhi_pd(0xFF, a, b));
  }
  /// Quarters 0 and 2 of both, or 1 and 3.
  TERN_INLINE static reg even_quarters(reg a, reg b) {
    return _mm512_maskz_shuffle_f32x4(0xFFFF, a, b, 0x88);
  }
  TERN_INLINE static reg odd_quarters(reg a, reg b) {
    return _mm512_maskz_shuffle_f32x4(0xFFFF, a, b, 0xDD);
  }
};

#  include "tern/linalg/generic/gemm.inl"

}  // namespace tern::inline TERN_ABI::detail::avx512
TERN_TARGET_END
#endif
