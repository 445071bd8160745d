// SSE4.1: 4 rows in a register, four bytes of each row a step, sums of pairs in int16.
//
//   pmaddubsw xmm   16 multiply-adds   latency 3 to 5   1/cycle (Nehalem) or 2/cycle
//   movdqa: the product overwrites its digits, so each has a copy first (no port since 2012)
//   paddw / pand 2 to 3/cycle, psrlw 1 to 2/cycle, movd xmm, m32 + pshufd: a load and a shuffle
//   pshufb 1/cycle (before Ice Lake) or 2/cycle, pminub / pcmpeqb / psubb 2 to 3/cycle
//
// matmul: 10 products, sums and copies, 2 loads and 5 broadcasts for 8 rows x 5 tokens x 4 columns:
// 42 instructions, 10.5 cycles at four a cycle.
// matvec, two_bit: 16 masks, 12 shifts, 16 products, 16 sums for 16 rows x 16 columns: about 20
// cycles. matvec, base3: 72 operations to decode, 20 products, 20 sums for 16 rows x 20 columns:
// about 38.
//
// A pair of digits 0..2 times int8 lies in [-512, 508]: 64 steps add up to [-32768, 32512], which
// int16 holds exactly, then `widen` moves them to int32; 16 steps of a matvec's digits that are
// left multiplied by 4. Nothing saturates or wraps.
#pragma once

#include "tern/isa/target.hpp"
#include "tern/kernel/base3_tables.hpp"
#include "tern/kernel/problem.hpp"
#include "tern/pack/base3.hpp"
#include "tern/pack/eight_bit.hpp"
#include "tern/pack/four_bit.hpp"
#include "tern/pack/two_bit.hpp"

#if TERN_X86
#  include <immintrin.h>

#  include <cstring>
#  include <limits>
#  include <utility>

TERN_TARGET_BEGIN("ssse3,sse4.1")
namespace tern::inline TERN_ABI::kernel::sse41 {

struct ops {
  using reg = __m128i;
  static constexpr std::size_t bytes = 16, tile_tokens = 5, matvec_panels = 1;
  static constexpr std::size_t matvec_tokens = 1;  // up to which each has its own matvec
  static constexpr std::size_t max_dots = 64;
  static constexpr int max_digit = 8;  // that `dot` is exact for, max_dots / 4 of them

  TERN_INLINE static reg zero() { return _mm_setzero_si128(); }
  TERN_INLINE static reg load(const void* p) {
    return _mm_loadu_si128(static_cast<const __m128i*>(p));
  }
  TERN_INLINE static void store(void* p, reg a) { _mm_storeu_si128(static_cast<__m128i*>(p), a); }
  TERN_INLINE static reg fill(std::int32_t v) { return _mm_set1_epi32(v); }
  TERN_INLINE static reg add(reg a, reg b) { return _mm_add_epi32(a, b); }
  TERN_INLINE static reg dot(reg sum, reg digits, reg x) {
    sum = _mm_add_epi16(sum, _mm_maddubs_epi16(digits, x));
    __asm__("" : "+x"(sum));  // else g++ adds products in a tree that needs too many registers
    return sum;
  }
  TERN_INLINE static reg widen(reg sum) { return _mm_madd_epi16(sum, _mm_set1_epi16(1)); }
  /// The same for digits up to max_digit, exact in int32.
  template <int max_digit>
  TERN_INLINE static reg dot_wide(reg sum, reg digits, reg x) {
    if constexpr (max_digit < 128) {
      return add(sum, widen(_mm_maddubs_epi16(digits, x)));
    } else {
      const reg low = _mm_maddubs_epi16(field<0, 15>(digits), x);
      const reg high = _mm_maddubs_epi16(field<4, 15>(digits), x);
      return add(sum, add(widen(low), _mm_madd_epi16(high, _mm_set1_epi16(16))));
    }
  }
  TERN_INLINE static reg add_bytes(reg a, reg b) { return _mm_add_epi8(a, b); }
  TERN_INLINE static reg sub_bytes(reg a, reg b) { return _mm_sub_epi8(a, b); }
  TERN_INLINE static reg min_bytes(reg a, reg b) { return _mm_min_epu8(a, b); }
  /// 255 where bytes are equal, else 0.
  TERN_INLINE static reg equal_bytes(reg a, reg b) { return _mm_cmpeq_epi8(a, b); }
  /// Sixteen bytes, again and again.
  TERN_INLINE static reg repeat(const void* p) { return load(p); }
  /// Bytes of a repeated table: of an index the low four bits count; 128 and more give 0.
  TERN_INLINE static reg look_up(reg table, reg index) { return _mm_shuffle_epi8(table, index); }
  /// Bits of every byte: `mask` of those from bit `first` on; it must end with the byte.
  template <int first, int mask>
  TERN_INLINE static reg field(reg q) {
    return _mm_and_si128(_mm_srli_epi16(q, first), _mm_set1_epi8(static_cast<char>(mask)));
  }
  template <int bits>
  TERN_INLINE static reg shift_sums(reg a) {
    return _mm_srai_epi32(a, bits);
  }
};

#  include "tern/kernel/generic/two_bit.inl"

#  include "tern/kernel/generic/base3.inl"

#  include "tern/kernel/generic/wide.inl"

#  include "tern/kernel/generic/matvec.inl"

#  include "tern/kernel/generic/matmul.inl"

}  // namespace tern::inline TERN_ABI::kernel::sse41
TERN_TARGET_END
#endif
