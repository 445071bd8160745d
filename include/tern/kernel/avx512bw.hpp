// AVX-512 without VNNI (Skylake-X): 16 rows in a register, four bytes of each row a step, sums of
// pairs in int16.
//
//   vpmaddubsw zmm   64 multiply-adds   latency 5   2/cycle (p05) or 1/cycle (one p0 core)
//   vpaddw / vpandd / vpsubb zmm 2/cycle (p05), vpsrlw / vpminub zmm 1/cycle (p0),
//   vpshufb / vpcmpeqb zmm 1/cycle (p5), vpbroadcastd zmm, m32: a load
//
// matmul: 20 products and 20 sums, 2 loads and 10 broadcasts for 32 rows x 10 tokens x 4 columns:
// 20 cycles where p0 and p5 both multiply.
// matvec, two_bit: 4 masks, a shift, 4 products and 4 sums for 16 rows x 16 columns: 7 cycles.
// matvec, base3: 19 operations to decode, 5 products and 5 sums for 16 rows x 20 columns: 14.5
// cycles.
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

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl")
namespace tern::inline TERN_ABI::kernel::avx512bw {

#  include "tern/kernel/generic/zmm.inl"

struct ops : zmm {
  static constexpr std::size_t tile_tokens = 10;   // with 12, g++ keeps sums on the stack
  static constexpr std::size_t matvec_tokens = 1;  // up to which each has its own matvec
  static constexpr std::size_t max_dots = 64;
  static constexpr int max_digit = 8;  // that `dot` is exact for, max_dots / 4 of them

  TERN_INLINE static reg dot(reg sum, reg digits, reg x) {
    sum = _mm512_add_epi16(sum, _mm512_maddubs_epi16(digits, x));
    __asm__("" : "+v"(sum));  // else g++ adds products in a tree that needs too many registers
    return sum;
  }
  TERN_INLINE static reg widen(reg sum) { return _mm512_madd_epi16(sum, _mm512_set1_epi16(1)); }
  /// The same for digits up to max_digit, exact in int32.
  template <int max_digit>
  TERN_INLINE static reg dot_wide(reg sum, reg digits, reg x) {
    if constexpr (max_digit < 128) {
      return add(sum, widen(_mm512_maddubs_epi16(digits, x)));
    } else {
      const reg low = _mm512_maddubs_epi16(field<0, 15>(digits), x);
      const reg high = _mm512_maddubs_epi16(field<4, 15>(digits), x);
      return add(sum, add(widen(low), _mm512_madd_epi16(high, _mm512_set1_epi16(16))));
    }
  }
};

#  include "tern/kernel/generic/two_bit.inl"

#  include "tern/kernel/generic/base3.inl"

#  include "tern/kernel/generic/wide.inl"

#  include "tern/kernel/generic/matvec.inl"

#  include "tern/kernel/generic/matmul.inl"

}  // namespace tern::inline TERN_ABI::kernel::avx512bw
TERN_TARGET_END
#endif
