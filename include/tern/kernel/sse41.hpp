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

#include "tern/isa/registers/sse41.hpp"
#include "tern/kernel/generic/prelude.hpp"

#if TERN_X86
TERN_TARGET_BEGIN("ssse3,sse4.1")
namespace tern::inline TERN_ABI::kernel::sse41 {

using registers = isa::sse41::integers;

#  include "tern/kernel/generic/int16_sums.inl"

struct ops : int16_sums {
  static constexpr std::size_t tile_tokens = 5, matvec_tokens = 1, matvec_panels = 1;
};

#  include "tern/kernel/generic/all.inl"

}  // namespace tern::inline TERN_ABI::kernel::sse41
TERN_TARGET_END
#endif
