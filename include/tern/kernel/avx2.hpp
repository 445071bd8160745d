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

#include "tern/isa/registers/avx2.hpp"
#include "tern/kernel/generic/prelude.hpp"

#if TERN_X86
TERN_TARGET_BEGIN("avx2")
namespace tern::inline TERN_ABI::kernel::avx2 {

using registers = isa::avx2::integers;

#  include "tern/kernel/generic/int16_sums.inl"

struct ops : int16_sums {
  static constexpr std::size_t tile_tokens = 5, matvec_tokens = 1, matvec_panels = 1;
};

#  include "tern/kernel/generic/all.inl"

}  // namespace tern::inline TERN_ABI::kernel::avx2
TERN_TARGET_END
#endif
