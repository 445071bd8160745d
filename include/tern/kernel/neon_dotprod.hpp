// Advanced SIMD with the dot products of Armv8.2, which are optional there and in every core from
// Armv8.4 on: a pair of registers has four bytes of each of 8 rows, and there are 32 registers.
// Digits are signed bytes, as x is.
//
//   sdot   16 multiply-adds   2/cycle (Neoverse N1), 4/cycle (Neoverse V1)
//   ushr 1/cycle (N1), and / sub / umin / cmeq / tbl of two registers 2/cycle (N1), two loads a
//   cycle (N1)
//
// Others publish these figures; Arm's own text does not confirm them, and nothing here has been
// timed on hardware.
//
// matmul: 16 rows x 5 tokens x 4 columns take 20 products and 4 loads, 10 cycles of N1. Each token
// is loaded once for 16 columns, from which `sdot` takes four by their index.
// matvec, two_bit: 16 rows x 16 columns take 16 products and 16 masks and shifts, 16 cycles of N1.
// matvec, base3: 16 rows x 20 columns take 20 products and 68 operations to decode, 44 cycles of
// N1.
#pragma once

#include "tern/isa/registers/neon.hpp"
#include "tern/kernel/generic/prelude.hpp"

#if TERN_AARCH64
TERN_TARGET_BEGIN(TERN_TARGET_DOTPROD)
namespace tern::inline TERN_ABI::kernel::neon_dotprod {

struct ops : isa::neon::integers {
  static constexpr std::size_t tile_tokens = 5, matvec_tokens = 1, matvec_sums = 4;
  static constexpr std::size_t register_totals = 0;
  static constexpr std::size_t max_dots = std::numeric_limits<std::size_t>::max();
  static constexpr int max_digit = 127;

  /// 16 columns of a token, from which `dot` takes the four of the plane. Columns of a plane past
  /// the sixteenth column stand in all places.
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
    // Keeps the order: else g++ moves loads ahead until registers run out.
    __asm__ volatile("" : "+w"(sum.low), "+w"(sum.high));
    return sum;
  }
  TERN_INLINE static reg widen(reg sum) { return sum; }
  /// The same for digits up to 255. Such a digit is no signed byte: digit - 128 is multiplied by x,
  /// and 128 x is added as two times 64 x.
  template <int max_digit, int plane>
  TERN_INLINE static reg dot_wide(reg sum, reg digits, indexed<plane> columns) {
    const int32x4_t half = vdupq_n_s32(0x40404040), sign = vdupq_n_s32(std::int32_t(0x80808080));
    sum = dot(sum, {veorq_s32(digits.low, sign), veorq_s32(digits.high, sign)}, columns);
    return dot(dot(sum, {half, half}, columns), {half, half}, columns);
  }
};

#  include "tern/kernel/generic/all.inl"

}  // namespace tern::inline TERN_ABI::kernel::neon_dotprod
TERN_TARGET_END
#endif
