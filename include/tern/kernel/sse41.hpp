// SSE4.1: a register has four bytes of each of 4 rows; products of pairs are added up in int16.
//
//   pmaddubsw xmm   16 multiply-adds   latency 3 to 5   1/cycle (Nehalem) or 2/cycle
//   movdqa copies digits before the product overwrites them; it takes no port since 2012
//   paddw / pand 2 to 3/cycle, psrlw 1 to 2/cycle, movd xmm, m32 and pshufd: a load and a shuffle
//   pshufb 1/cycle (before Ice Lake) or 2/cycle, pminub / pcmpeqb / psubb 2 to 3/cycle
//
// matmul: 8 rows x 5 tokens x 4 columns take 10 products, sums and copies, 2 loads and 5
// broadcasts. These 42 instructions take 10.5 cycles at four a cycle. matvec, two_bit: 16 rows x 16
// columns take 16 masks, 12 shifts, 16 products and 16 sums, about 20 cycles. matvec, base3: 16
// rows x 20 columns take 72 operations to decode, 20 products and 20 sums, about 38 cycles.
#pragma once

#include "tern/isa/registers/sse41.hpp"
#include "tern/kernel/generic/prelude.hpp"

#if TERN_X86
TERN_TARGET_BEGIN("ssse3,sse4.1")
namespace tern::inline TERN_ABI::kernel::sse41 {

using registers = isa::sse41::integers;

#  include "tern/kernel/generic/int16_sums.inl"

struct ops : int16_sums {
  static constexpr std::size_t tile_tokens = 5, matvec_tokens = 1, matvec_sums = 4;
  static constexpr std::size_t register_totals = 0;
};

#  include "tern/kernel/generic/all.inl"

}  // namespace tern::inline TERN_ABI::kernel::sse41
TERN_TARGET_END
#endif
