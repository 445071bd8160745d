// AVX2: a register has four bytes of each of 8 rows; products of pairs are added up in int16.
//
//   vpmaddubsw ymm  32 multiply-adds  latency 5 (Zen: 3)  2/cycle
//   vpaddw ymm 3/cycle, vpand ymm 3/cycle, vpsrlw ymm 2/cycle, vpbroadcastd ymm, m32: a load
//   vpshufb ymm 1/cycle (before Ice Lake) or 2/cycle, vpminub / vpcmpeqb ymm 2/cycle, vpsubb ymm
//   3/cycle
//
// matvec, two_bit: 16 rows x 16 columns take 8 masks, 6 shifts, 8 products and 8 sums, 10 cycles.
// matvec, base3: 16 rows x 20 columns take 36 operations to decode, 10 products and 10 sums, 19
// cycles.
#pragma once

#include "tern/isa/registers/avx2.hpp"
#include "tern/kernel/generic/prelude.hpp"

#if TERN_X86
TERN_TARGET_BEGIN("avx2")
namespace tern::inline TERN_ABI::kernel::avx2 {

using registers = isa::avx2::integers;

#  include "tern/kernel/generic/int16_sums.inl"

struct ops : int16_sums {
  static constexpr std::size_t tile_tokens = 5, matvec_tokens = 1, matvec_sums = 4;
  static constexpr std::size_t register_totals = 0;
};

#  include "tern/kernel/generic/all.inl"

}  // namespace tern::inline TERN_ABI::kernel::avx2
TERN_TARGET_END
#endif
