// AVX2: 8 rows in a register, four bytes of each row a step, sums of pairs in int16.
//
//   vpmaddubsw ymm  32 multiply-adds  latency 5 (Zen: 3)  2/cycle
//   vpaddw ymm 3/cycle, vpand ymm 3/cycle, vpsrlw ymm 2/cycle, vpbroadcastd ymm, m32: a load
//   vpshufb ymm 1/cycle (before Ice Lake) or 2/cycle, vpminub / vpcmpeqb ymm 2/cycle, vpsubb ymm
//   3/cycle
//
// matvec, two_bit: 8 masks, 6 shifts, 8 products, 8 sums for 16 rows x 16 columns: 10 cycles.
// matvec, base3: 36 operations to decode, 10 products, 10 sums for 16 rows x 20 columns: 19 cycles.
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

TERN_TARGET_BEGIN("avx2")
namespace tern::inline TERN_ABI::kernel::avx2 {

#  include "tern/kernel/generic/ymm.inl"

struct ops : ymm {
  static constexpr std::size_t tile_tokens = 5;
  static constexpr std::size_t matvec_tokens = 1;  // up to which each has its own matvec
  static constexpr std::size_t max_dots = 64;
  static constexpr int max_digit = 8;  // that `dot` is exact for, max_dots / 4 of them

  TERN_INLINE static reg dot(reg sum, reg digits, reg x) {
    sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(digits, x));
    __asm__("" : "+x"(sum));  // else g++ adds products in a tree that needs too many registers
    return sum;
  }
  TERN_INLINE static reg widen(reg sum) { return _mm256_madd_epi16(sum, _mm256_set1_epi16(1)); }
  /// The same for digits up to max_digit, exact in int32.
  template <int max_digit>
  TERN_INLINE static reg dot_wide(reg sum, reg digits, reg x) {
    if constexpr (max_digit < 128) {
      return add(sum, widen(_mm256_maddubs_epi16(digits, x)));
    } else {
      const reg low = _mm256_maddubs_epi16(field<0, 15>(digits), x);
      const reg high = _mm256_maddubs_epi16(field<4, 15>(digits), x);
      return add(sum, add(widen(low), _mm256_madd_epi16(high, _mm256_set1_epi16(16))));
    }
  }
};

#  include "tern/kernel/generic/two_bit.inl"

#  include "tern/kernel/generic/base3.inl"

#  include "tern/kernel/generic/wide.inl"

#  include "tern/kernel/generic/matvec.inl"

#  include "tern/kernel/generic/matmul.inl"

}  // namespace tern::inline TERN_ABI::kernel::avx2
TERN_TARGET_END
#endif
