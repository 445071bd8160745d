// Operations on 512-bit registers with AVX-512 F, BW, DQ and VL. Where an intrinsic has a form with
// a zero mask, that form is used: g++ 12 warns that the plain one reads an undefined register.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tern/isa/registers/avx2.hpp"
#include "tern/isa/target.hpp"
#include "tern/version.hpp"

#if TERN_X86
#  include <immintrin.h>

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl")
namespace tern::inline TERN_ABI::isa::avx512 {

/// 64 bytes, or 16 numbers of 32 bits.
struct integers {
  using reg = __m512i;
  static constexpr std::size_t bytes = 64;

  TERN_INLINE static reg zero() { return _mm512_setzero_si512(); }
  TERN_INLINE static reg load(const void* p) { return _mm512_loadu_si512(p); }
  TERN_INLINE static void store(void* p, reg a) { _mm512_storeu_si512(p, a); }
  TERN_INLINE static reg fill(std::int32_t v) { return _mm512_set1_epi32(v); }
  TERN_INLINE static reg add(reg a, reg b) { return _mm512_add_epi32(a, b); }
  TERN_INLINE static reg max(reg a, reg b) { return _mm512_maskz_max_epi32(0xFFFF, a, b); }
  /// The sum of the numbers.
  TERN_INLINE static std::int32_t total(reg a) {
    return avx2::integers::total(_mm256_add_epi32(half<0>(a), half<1>(a)));
  }
  /// The largest of the numbers.
  TERN_INLINE static std::int32_t largest(reg a) {
    return avx2::integers::largest(_mm256_max_epi32(half<0>(a), half<1>(a)));
  }
  TERN_INLINE static reg add_words(reg a, reg b) { return _mm512_add_epi16(a, b); }
  TERN_INLINE static reg add_bytes(reg a, reg b) { return _mm512_add_epi8(a, b); }
  TERN_INLINE static reg sub_bytes(reg a, reg b) { return _mm512_sub_epi8(a, b); }
  TERN_INLINE static reg min_bytes(reg a, reg b) { return _mm512_min_epu8(a, b); }
  /// Each byte becomes 255 where a and b are equal, else 0.
  TERN_INLINE static reg equal_bytes(reg a, reg b) {
    return _mm512_movm_epi8(_mm512_cmpeq_epi8_mask(a, b));
  }
  /// Products of the unsigned bytes of a and the signed bytes of b; two neighbours are added to an
  /// int16, with saturation.
  TERN_INLINE static reg multiply_bytes(reg a, reg b) { return _mm512_maddubs_epi16(a, b); }
  /// Each int16 times `factor`; two neighbours are added to an int32.
  TERN_INLINE static reg add_pairs(reg a, std::int16_t factor) {
    return _mm512_madd_epi16(a, _mm512_set1_epi16(factor));
  }
  /// Sixteen bytes in every 128 bits.
  TERN_INLINE static reg repeat(const void* p) {
    return _mm512_maskz_broadcast_i32x4(0xFFFF, _mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  /// For each byte i of `index` byte i of a repeated table; the low four bits of i count, and the
  /// result is 0 where i is 128 or more.
  TERN_INLINE static reg look_up(reg table, reg index) { return _mm512_shuffle_epi8(table, index); }
  /// In each byte the bits from `first` on that are set in `mask`, which may have no bit that comes
  /// from the next byte.
  template <int first, int mask>
  TERN_INLINE static reg field(reg q) {
    return _mm512_and_si512(_mm512_srli_epi16(q, first), _mm512_set1_epi8(static_cast<char>(mask)));
  }
  /// Each int32 shifted to the right, with its sign.
  template <int bits>
  TERN_INLINE static reg shift_sums(reg a) {
    return _mm512_maskz_srai_epi32(0xFFFF, a, bits);
  }

  /// Numbers of type float in the places of a register's int32.
  using reals = __m512;
  TERN_INLINE static reals load_reals(const float* p) { return _mm512_loadu_ps(p); }
  TERN_INLINE static void store_reals(float* p, reals r) { _mm512_storeu_ps(p, r); }
  /// total + a * scales, rounded after each operation.
  TERN_INLINE static reals scaled(reals total, reg a, reals scales) {
    reals product = _mm512_mul_ps(_mm512_maskz_cvtepi32_ps(0xFFFF, a), scales);
    __asm__("" : "+v"(product));  // rounds here: no addition is fused with the product
    return _mm512_add_ps(total, product);
  }

 private:
  template <int i>
  TERN_INLINE static __m256i half(reg a) {
    return _mm512_maskz_extracti32x8_epi32(0xFF, a, i);
  }
};

/// 16 floats.
struct floats {
  using scalar = float;
  using reg = __m512;
  static constexpr std::size_t lanes = 16;

  TERN_INLINE static reg zero() { return _mm512_setzero_ps(); }
  TERN_INLINE static reg fill(float x) { return _mm512_set1_ps(x); }
  TERN_INLINE static reg load(const float* p) { return _mm512_loadu_ps(p); }
  /// 16 codes as floats.
  TERN_INLINE static reg load(const std::int8_t* p) {
    const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm512_maskz_cvtepi32_ps(0xFFFF, _mm512_maskz_cvtepi8_epi32(0xFFFF, codes));
  }
  /// 16 numbers of F16 as floats.
  TERN_INLINE static reg load(const std::uint16_t* p) {
    return _mm512_maskz_cvtph_ps(0xFFFF, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  TERN_INLINE static void store(float* p, reg a) { _mm512_storeu_ps(p, a); }
  /// The mask of the first n elements, of all where n is larger than their number.
  TERN_INLINE static __mmask16 first(std::size_t n) {
    return static_cast<__mmask16>(n >= lanes ? 0xFFFFu : (1u << n) - 1u);
  }
  /// The first n elements, no more than `lanes`; the others are zero.
  TERN_INLINE static reg load(const float* p, std::size_t n) {
    return _mm512_maskz_loadu_ps(first(n), p);
  }
  TERN_INLINE static void store(float* p, reg a, std::size_t n) {
    _mm512_mask_storeu_ps(p, first(n), a);
  }
  TERN_INLINE static reg add(reg a, reg b) { return _mm512_add_ps(a, b); }
  /// a b, rounded: no addition is fused with it.
  TERN_INLINE static reg multiply(reg a, reg b) {
    reg product = _mm512_mul_ps(a, b);
    __asm__("" : "+v"(product));
    return product;
  }
  /// a b + c, rounded once.
  TERN_INLINE static reg multiply_add(reg a, reg b, reg c) { return _mm512_fmadd_ps(a, b, c); }
  /// The larger element in each place, and that of b where one is NaN.
  TERN_INLINE static reg max(reg a, reg b) { return _mm512_maskz_max_ps(0xFFFF, a, b); }
  /// The sums of elements i and 8 + i.
  TERN_INLINE static __m256 add_halves(reg a) {
    return _mm256_add_ps(_mm512_maskz_extractf32x8_ps(0xFF, a, 0),
                         _mm512_maskz_extractf32x8_ps(0xFF, a, 1));
  }
  /// Stores the sums of the elements of a, b, c and d to p[0] ... p[3].
  TERN_INLINE static void store_totals(float* p, reg a, reg b, reg c, reg d) {
    const __m256 four = _mm256_hadd_ps(_mm256_hadd_ps(add_halves(a), add_halves(b)),
                                       _mm256_hadd_ps(add_halves(c), add_halves(d)));
    _mm_storeu_ps(p, _mm_add_ps(_mm256_castps256_ps128(four), _mm256_extractf128_ps(four, 1)));
  }
  /// Transposes 16 x 16: register i of the result holds element i of every register.
  TERN_INLINE static void transpose(reg (&r)[lanes]) {
    reg t[lanes];  // t[4 g + j] holds columns j, j + 4, j + 8, j + 12 of rows 4 g ... 4 g + 3
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
  /// Quarters 0 and 2 of a, then those of b.
  TERN_INLINE static reg even_quarters(reg a, reg b) {
    return _mm512_maskz_shuffle_f32x4(0xFFFF, a, b, 0x88);
  }
  /// Quarters 1 and 3 of a, then those of b.
  TERN_INLINE static reg odd_quarters(reg a, reg b) {
    return _mm512_maskz_shuffle_f32x4(0xFFFF, a, b, 0xDD);
  }
};

}  // namespace tern::inline TERN_ABI::isa::avx512
TERN_TARGET_END
#endif
