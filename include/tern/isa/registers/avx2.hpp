// Operations on 256-bit registers with AVX2: integers; and, with FMA and F16C, floats. They are two
// regions, since code that must not fuse a multiplication with an addition names no FMA.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tern/isa/target.hpp"
#include "tern/version.hpp"

#if TERN_X86
#  include <immintrin.h>

TERN_TARGET_BEGIN("avx2")
namespace tern::inline TERN_ABI::isa::avx2 {

/// 32 bytes, or 8 numbers of 32 bits.
struct integers {
  using reg = __m256i;
  static constexpr std::size_t bytes = 32;

  TERN_INLINE static reg zero() { return _mm256_setzero_si256(); }
  TERN_INLINE static reg load(const void* p) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
  }
  TERN_INLINE static void store(void* p, reg a) {
    _mm256_storeu_si256(static_cast<__m256i*>(p), a);
  }
  TERN_INLINE static reg fill(std::int32_t v) { return _mm256_set1_epi32(v); }
  TERN_INLINE static reg add(reg a, reg b) { return _mm256_add_epi32(a, b); }
  TERN_INLINE static reg max(reg a, reg b) { return _mm256_max_epi32(a, b); }
  /// The sum of the numbers.
  TERN_INLINE static std::int32_t total(reg a) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    s = _mm_add_epi32(s, _mm_unpackhi_epi64(s, s));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 1)));
  }
  /// The largest of the numbers.
  TERN_INLINE static std::int32_t largest(reg a) {
    __m128i s = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    s = _mm_max_epi32(s, _mm_unpackhi_epi64(s, s));
    return _mm_cvtsi128_si32(_mm_max_epi32(s, _mm_shuffle_epi32(s, 1)));
  }
  TERN_INLINE static reg add_words(reg a, reg b) { return _mm256_add_epi16(a, b); }
  TERN_INLINE static reg add_bytes(reg a, reg b) { return _mm256_add_epi8(a, b); }
  TERN_INLINE static reg sub_bytes(reg a, reg b) { return _mm256_sub_epi8(a, b); }
  TERN_INLINE static reg min_bytes(reg a, reg b) { return _mm256_min_epu8(a, b); }
  /// Each byte becomes 255 where a and b are equal, else 0.
  TERN_INLINE static reg equal_bytes(reg a, reg b) { return _mm256_cmpeq_epi8(a, b); }
  /// Products of the unsigned bytes of a and the signed bytes of b; two neighbours are added to an
  /// int16, with saturation.
  TERN_INLINE static reg multiply_bytes(reg a, reg b) { return _mm256_maddubs_epi16(a, b); }
  /// Each int16 times `factor`; two neighbours are added to an int32.
  TERN_INLINE static reg add_pairs(reg a, std::int16_t factor) {
    return _mm256_madd_epi16(a, _mm256_set1_epi16(factor));
  }
  /// Sixteen bytes in every 128 bits.
  TERN_INLINE static reg repeat(const void* p) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  /// For each byte i of `index` byte i of a repeated table; the low four bits of i count, and the
  /// result is 0 where i is 128 or more.
  TERN_INLINE static reg look_up(reg table, reg index) { return _mm256_shuffle_epi8(table, index); }
  /// In each byte the bits from `first` on that are set in `mask`, which may have no bit that comes
  /// from the next byte.
  template <int first, int mask>
  TERN_INLINE static reg field(reg q) {
    return _mm256_and_si256(_mm256_srli_epi16(q, first), _mm256_set1_epi8(static_cast<char>(mask)));
  }
  /// Each int32 shifted to the right, with its sign.
  template <int bits>
  TERN_INLINE static reg shift_sums(reg a) {
    return _mm256_srai_epi32(a, bits);
  }

  /// Numbers of type float in the places of a register's int32.
  using reals = __m256;
  TERN_INLINE static reals load_reals(const float* p) { return _mm256_loadu_ps(p); }
  TERN_INLINE static void store_reals(float* p, reals r) { _mm256_storeu_ps(p, r); }
  /// total + a * scales, rounded after each operation.
  TERN_INLINE static reals scaled(reals total, reg a, reals scales) {
    reals product = _mm256_mul_ps(_mm256_cvtepi32_ps(a), scales);
    __asm__("" : "+x"(product));  // rounds here: no addition is fused with the product
    return _mm256_add_ps(total, product);
  }
};

}  // namespace tern::inline TERN_ABI::isa::avx2
TERN_TARGET_END

TERN_TARGET_BEGIN("avx2,fma,f16c")
namespace tern::inline TERN_ABI::isa::avx2 {

/// 8 floats.
struct floats {
  using scalar = float;
  using reg = __m256;
  static constexpr std::size_t lanes = 8;

  TERN_INLINE static reg zero() { return _mm256_setzero_ps(); }
  TERN_INLINE static reg fill(float x) { return _mm256_set1_ps(x); }
  TERN_INLINE static reg load(const float* p) { return _mm256_loadu_ps(p); }
  /// 8 codes as floats.
  TERN_INLINE static reg load(const std::int8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadu_si64(p)));
  }
  /// 8 numbers of F16 as floats.
  TERN_INLINE static reg load(const std::uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  TERN_INLINE static void store(float* p, reg a) { _mm256_storeu_ps(p, a); }
  /// Rounded to F16, half to even.
  TERN_INLINE static void store(std::uint16_t* p, reg a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
  }
  /// The first n <= lanes elements; the others are zero.
  TERN_INLINE static reg load(const float* p, std::size_t n) {
    return n == lanes ? load(p) : _mm256_maskload_ps(p, first(n));
  }
  TERN_INLINE static void store(float* p, reg a, std::size_t n) {
    if (n == lanes)
      store(p, a);
    else
      _mm256_maskstore_ps(p, first(n), a);
  }
  TERN_INLINE static reg add(reg a, reg b) { return _mm256_add_ps(a, b); }
  /// a b, rounded: no addition is fused with it.
  TERN_INLINE static reg multiply(reg a, reg b) {
    reg product = _mm256_mul_ps(a, b);
    __asm__("" : "+x"(product));
    return product;
  }
  /// a b + c, rounded once.
  TERN_INLINE static reg multiply_add(reg a, reg b, reg c) { return _mm256_fmadd_ps(a, b, c); }
  /// The larger element in each place, and that of b where one is NaN.
  TERN_INLINE static reg max(reg a, reg b) { return _mm256_max_ps(a, b); }
  /// Stores the sums of the elements of a, b, c and d to p[0] ... p[3].
  TERN_INLINE static void store_totals(float* p, reg a, reg b, reg c, reg d) {
    const reg four = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    _mm_storeu_ps(p, _mm_add_ps(_mm256_castps256_ps128(four), _mm256_extractf128_ps(four, 1)));
  }
  /// Transposes 8 x 8: register i of the result holds element i of every register.
  TERN_INLINE static void transpose(reg (&r)[lanes]) {
    __m256d t[lanes];  // t[4 g + j] holds columns j and j + 4 of rows 4 g ... 4 g + 3
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

}  // namespace tern::inline TERN_ABI::isa::avx2
TERN_TARGET_END
#endif
