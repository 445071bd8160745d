// Advanced SIMD of every AArch64: a pair of registers has four bytes of each of 8 rows, and there
// are 32 registers. The products of each column are added up in an int16 of their own.
//
//   smlal / smlal2   8 multiply-adds   latency 4   1/cycle (V0)
//   ushr 1/cycle (V1), and / dup / sub / umin / cmeq / tbl of two registers 2/cycle, two loads a
//   cycle
//
// These are the figures of Neoverse N1 in the models of compilers; nothing here has been timed on
// hardware.
//
// matmul: 16 rows x 3 tokens x 4 columns take 24 products, 4 loads and 3 dups, 24 cycles of V0.
// matvec, two_bit: 16 rows x 16 columns take 32 products, 24 masks and shifts and 4 dups, 32 cycles
// of V0. matvec, base3: 16 rows x 20 columns take 40 products, 68 operations to decode and 5 dups,
// 56 cycles.
//
// A digit 0..2 times int8 lies in [-256, 254]: 128 products add up to [-32768, 32512], which int16
// holds exactly, then `widen` moves them to int32. Nothing saturates or wraps.
#pragma once

#include "tern/isa/registers/neon.hpp"
#include "tern/kernel/generic/prelude.hpp"
#include "tern/kernel/scalar.hpp"

#if TERN_AARCH64
// This is no region: every translation unit may use these instructions.
namespace tern::inline TERN_ABI::kernel::neon {

struct ops : isa::neon::integers {
  struct sum {
    int16x8_t a, b, c, d;  // each has the sums of two rows
  };
  static constexpr std::size_t tile_tokens = 3, matvec_tokens = 1, matvec_sums = 8;
  static constexpr std::size_t register_totals = 0;
  static constexpr std::size_t max_dots = 128;
  static constexpr int max_digit = 2;

  TERN_INLINE static sum zero() {
    const int16x8_t a = vdupq_n_s16(0);
    return {a, a, a, a};
  }
  template <int plane>
  TERN_INLINE static int8x16_t columns(const std::int8_t* x) {
    if constexpr (plane < 4)
      return as_bytes(vdupq_laneq_s32(vreinterpretq_s32_s8(vld1q_s8(x)), plane));
    else
      return four(x + 16);
  }
  TERN_INLINE static sum dot(sum s, reg digits, int8x16_t x) {
    const int8x16_t low = as_bytes(digits.low), high = as_bytes(digits.high);
    s.a = vmlal_s8(s.a, vget_low_s8(low), vget_low_s8(x));
    s.b = vmlal_high_s8(s.b, low, x);
    s.c = vmlal_s8(s.c, vget_low_s8(high), vget_low_s8(x));
    s.d = vmlal_high_s8(s.d, high, x);
    __asm__ volatile("");  // else g++ moves loads ahead until registers run out
    return s;
  }
  TERN_INLINE static reg widen(sum s) {
    return {vpaddq_s32(vpaddlq_s16(s.a), vpaddlq_s16(s.b)),
            vpaddq_s32(vpaddlq_s16(s.c), vpaddlq_s16(s.d))};
  }
};

#  include "tern/kernel/generic/all.inl"

/// Wider digits are left to `scalar`: CPUs without dot products are too slow for them to matter.
template <class Format>
  requires(Format::max_digit > ops::max_digit)
inline constexpr entry<Format> entry_of<Format> = scalar::entry_of<Format>;

}  // namespace tern::inline TERN_ABI::kernel::neon
#endif
