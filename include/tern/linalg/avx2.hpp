// Single-precision matrix product for AVX2 and FMA, whatever flags the translation unit has.
//
//   vfmadd231ps ymm   latency 4 (Haswell, Broadwell, Zen 2: 5)   2/cycle
//   tile: 12 products, 2 loads and 6 broadcasts for 6 rows x 16 columns x 1 step of k
#pragma once

#include "tern/core/tensor.hpp"
#include "tern/isa/target.hpp"

#if TERN_X86
#  include <immintrin.h>

#  include <algorithm>
#  include <cstddef>
#  include <cstdint>

TERN_TARGET_BEGIN("avx2,fma")
namespace tern::inline TERN_ABI::detail::avx2 {

struct ops {
  using scalar = float;
  using reg = __m256;
  static constexpr std::size_t lanes = 8, tile_rows = 6;

  TERN_INLINE static reg zero() { return _mm256_setzero_ps(); }
  TERN_INLINE static reg fill(float x) { return _mm256_set1_ps(x); }
  TERN_INLINE static reg load(const float* p) { return _mm256_loadu_ps(p); }
  TERN_INLINE static void store(float* p, reg a) { _mm256_storeu_ps(p, a); }
  /// Of n <= lanes elements; the others are zero.
  TERN_INLINE static reg load(const float* p, std::size_t n) {
    return n == lanes ? load(p) : _mm256_maskload_ps(p, first(n));
  }
  TERN_INLINE static void store(float* p, reg a, std::size_t n) {
    if (n == lanes)
      store(p, a);
    else
      _mm256_maskstore_ps(p, first(n), a);
  }
  TERN_INLINE static reg multiply_add(reg a, reg b, reg c) { return _mm256_fmadd_ps(a, b, c); }

  /// 8 x 8: row i of the result holds element i of every row of the argument.
  TERN_INLINE static void transpose(reg (&r)[lanes]) {
    __m256d t[lanes];  // t[4 g + j]: columns j and j + 4 of rows 4 g ... 4 g + 3
#  pragma GCC unroll 2
    for (std::size_t i = 0; i < lanes; i += 4) {
      const __m256d a = low_pairs(r[i], r[i + 1]), b = high_pairs(r[i], r[i + 1]),
                    c = low_pairs(r[i + 2], r[i + 3]), d = high_pairs(r[i + 2], r[i + 3]);
      t[i] = _mm256_unpacklo_pd(a, c);
      t[i + 1] = _mm256_unpackhi_pd(a, c);
      t[i + 2] = _mm256_unpacklo_pd(b, d);
      t[i + 3] = _mm256_unpackhi_pd(b, d);
    }
#  pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j) {
      r[j] = _mm256_castpd_ps(_mm256_permute2f128_pd(t[j], t[j + 4], 0x20));
      r[j + 4] = _mm256_castpd_ps(_mm256_permute2f128_pd(t[j], t[j + 4], 0x31));
    }
  }

 private:
  TERN_INLINE static __m256i first(std::size_t n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<std::int32_t>(n)), lane);
  }
  TERN_INLINE static __m256d low_pairs(reg a, reg b) {
    return _mm256_castps_pd(_mm256_unpacklo_ps(a, b));
  }
  TERN_INLINE static __m256d high_pairs(reg a, reg b) {
    return _mm256_castps_pd(_mm256_unpackhi_ps(a, b));
  }
};

#  include "tern/linalg/generic/gemm.inl"

}  // namespace tern::inline TERN_ABI::detail::avx2
TERN_TARGET_END
#endif
