// Advanced SIMD with the dot products of Armv8.2 (optional there, in every core from Armv8.4 on):
// 8 rows in a pair of registers, four bytes of each row a step; 32 registers. Digits are signed
// bytes as x is.
//
//   sdot   16 multiply-adds   2/cycle (Neoverse N1), 4/cycle (Neoverse V1)
//   ushr 1/cycle (N1), and / sub / umin / cmeq / tbl of two registers 2/cycle (N1), two loads a
//   cycle (N1)
//
// As others publish them: not confirmed in Arm's text, and nothing here has been timed on hardware.
//
// matmul: 20 products and 4 loads for 16 rows x 5 tokens x 4 columns, and a load of each token for
// 16 columns (`sdot` picks four of them by index): 10 cycles of N1.
// matvec, two_bit: 16 products, 16 masks and shifts for 16 rows x 16 columns: 16 cycles of N1.
// matvec, base3: 20 products, 68 operations to decode for 16 rows x 20 columns: 44 cycles of N1.
#pragma once

#include "tern/isa/target.hpp"
#include "tern/kernel/base3_tables.hpp"
#include "tern/kernel/problem.hpp"
#include "tern/pack/base3.hpp"
#include "tern/pack/eight_bit.hpp"
#include "tern/pack/four_bit.hpp"
#include "tern/pack/two_bit.hpp"

#if TERN_AARCH64
#  include <arm_neon.h>

#  include <cstring>
#  include <limits>
#  include <utility>

TERN_TARGET_BEGIN(TERN_TARGET_DOTPROD)
namespace tern::inline TERN_ABI::kernel::neon_dotprod {

#  include "tern/kernel/generic/vector_pair.inl"

struct ops : vector_pair {
  static constexpr std::size_t tile_tokens = 5, matvec_panels = 1;
  static constexpr std::size_t matvec_tokens = 1;  // up to which each has its own matvec
  static constexpr std::size_t max_dots = std::numeric_limits<std::size_t>::max();
  static constexpr int max_digit = 127;  // that `dot` is exact for

  /// 16 columns of a token, of which `dot` takes those of the plane; planes past them stand alone.
  template <int plane>
  struct indexed {
    int8x16_t x;
  };

  TERN_INLINE static reg zero() { return fill(0); }
  template <int plane>
  TERN_INLINE static indexed<plane % 4> columns(const std::int8_t* x) {
    if constexpr (plane < 4)
      return {vld1q_s8(x)};
    else
      return {four(x + 16)};
  }
  template <int plane>
  TERN_INLINE static reg dot(reg sum, reg digits, indexed<plane> columns) {
    sum.low = vdotq_laneq_s32(sum.low, as_bytes(digits.low), columns.x, plane);
    sum.high = vdotq_laneq_s32(sum.high, as_bytes(digits.high), columns.x, plane);
    // In this order, else g++ moves loads ahead until registers run out.
    __asm__ volatile("" : "+w"(sum.low), "+w"(sum.high));
    return sum;
  }
  TERN_INLINE static reg widen(reg sum) { return sum; }
  /// The same for digits up to 255: code + 128 is no signed byte, 128 x is added beside the code's.
  template <int max_digit, int plane>
  TERN_INLINE static reg dot_wide(reg sum, reg digits, indexed<plane> columns) {
    const int32x4_t half = vdupq_n_s32(0x40404040), sign = vdupq_n_s32(std::int32_t(0x80808080));
    sum = dot(sum, {veorq_s32(digits.low, sign), veorq_s32(digits.high, sign)}, columns);
    return dot(dot(sum, {half, half}, columns), {half, half}, columns);
  }
};

#  include "tern/kernel/generic/two_bit.inl"

#  include "tern/kernel/generic/base3.inl"

#  include "tern/kernel/generic/wide.inl"

#  include "tern/kernel/generic/matvec.inl"

#  include "tern/kernel/generic/matmul.inl"

}  // namespace tern::inline TERN_ABI::kernel::neon_dotprod
TERN_TARGET_END
#endif
