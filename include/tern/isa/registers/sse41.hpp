// Operations on 128-bit registers with SSSE3 and SSE4.1.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tern/isa/target.hpp"
#include "tern/version.hpp"

#if TERN_X86
#  include <immintrin.h>

TERN_TARGET_BEGIN("ssse3,sse4.1")
namespace tern::inline TERN_ABI::isa::sse41 {

/// 16 bytes, or 4 numbers of 32 bits.
struct integers {
  using reg = __m128i;
  static constexpr std::size_t bytes = 16;

  TERN_INLINE static reg zero() { return _mm_setzero_si128(); }
  TERN_INLINE static reg load(const void* p) {
    return _mm_loadu_si128(static_cast<const __m128i*>(p));
  }
  TERN_INLINE static void store(void* p, reg a) { _mm_storeu_si128(static_cast<__m128i*>(p), a); }
  TERN_INLINE static reg fill(std::int32_t v) { return _mm_set1_epi32(v); }
  TERN_INLINE static reg add(reg a, reg b) { return _mm_add_epi32(a, b); }
  TERN_INLINE static reg add_words(reg a, reg b) { return _mm_add_epi16(a, b); }
  TERN_INLINE static reg add_bytes(reg a, reg b) { return _mm_add_epi8(a, b); }
  TERN_INLINE static reg sub_bytes(reg a, reg b) { return _mm_sub_epi8(a, b); }
  TERN_INLINE static reg min_bytes(reg a, reg b) { return _mm_min_epu8(a, b); }
  /// Each byte becomes 255 where a and b are equal, else 0.
  TERN_INLINE static reg equal_bytes(reg a, reg b) { return _mm_cmpeq_epi8(a, b); }
  /// Products of the unsigned bytes of a and the signed bytes of b; two neighbours are added to an
  /// int16, with saturation.
  TERN_INLINE static reg multiply_bytes(reg a, reg b) { return _mm_maddubs_epi16(a, b); }
  /// Each int16 times `factor`; two neighbours are added to an int32.
  TERN_INLINE static reg add_pairs(reg a, std::int16_t factor) {
    return _mm_madd_epi16(a, _mm_set1_epi16(factor));
  }
  /// Sixteen bytes in every 128 bits.
  TERN_INLINE static reg repeat(const void* p) { return load(p); }
  /// table[i] for each byte i of `index`, whose low four bits count; 0 where i is 128 or more.
  TERN_INLINE static reg look_up(reg table, reg index) { return _mm_shuffle_epi8(table, index); }
  /// In each byte the bits from `first` on that are set in `mask`, which may have no bit that comes
  /// from the next byte.
  template <int first, int mask>
  TERN_INLINE static reg field(reg q) {
    return _mm_and_si128(_mm_srli_epi16(q, first), _mm_set1_epi8(static_cast<char>(mask)));
  }
  /// Each int32 shifted to the right, with its sign.
  template <int bits>
  TERN_INLINE static reg shift_sums(reg a) {
    return _mm_srai_epi32(a, bits);
  }

  /// Numbers of type float in the places of a register's int32.
  using reals = __m128;
  TERN_INLINE static reals load_reals(const float* p) { return _mm_loadu_ps(p); }
  TERN_INLINE static void store_reals(float* p, reals r) { _mm_storeu_ps(p, r); }
  /// total + a * scales, rounded after each operation.
  TERN_INLINE static reals scaled(reals total, reg a, reals scales) {
    reals product = _mm_mul_ps(_mm_cvtepi32_ps(a), scales);
    __asm__("" : "+x"(product));  // rounds here: no addition is fused with the product
    return _mm_add_ps(total, product);
  }
};

}  // namespace tern::inline TERN_ABI::isa::sse41
TERN_TARGET_END
#endif
