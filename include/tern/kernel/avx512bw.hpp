// AVX-512 without VNNI (Skylake-X): a register has four bytes of each of 16 rows; products of pairs
// are added up in int16.
//
//   vpmaddubsw zmm   64 multiply-adds   latency 5   2/cycle (p05) or 1/cycle (one p0 core)
//   vpaddw / vpandd / vpsubb zmm 2/cycle (p05), vpsrlw / vpminub zmm 1/cycle (p0),
//   vpshufb / vpcmpeqb zmm 1/cycle (p5), vpbroadcastd zmm, m32: a load
//
// matmul: 32 rows x 10 tokens x 4 columns take 20 products and 20 sums, 2 loads and 10 broadcasts,
// 20 cycles where p0 and p5 both multiply.
// matvec, two_bit: 16 rows x 16 columns take 4 masks, a shift, 4 products and 4 sums, 7 cycles.
// matvec, base3: 16 rows x 20 columns take 19 operations to decode, 5 products and 5 sums, 14.5
// cycles.
#pragma once

#include "tern/isa/registers/avx512.hpp"
#include "tern/kernel/generic/prelude.hpp"

#if TERN_X86
TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl")
namespace tern::inline TERN_ABI::kernel::avx512bw {

using registers = isa::avx512::integers;

#  include "tern/kernel/generic/int16_sums.inl"

struct ops : int16_sums {
  // With 12 tokens in a tile g++ keeps sums on the stack.
  static constexpr std::size_t tile_tokens = 10, matvec_tokens = 1, matvec_sums = 4;
  static constexpr std::size_t register_totals = 0;
};

#  include "tern/kernel/generic/all.inl"

}  // namespace tern::inline TERN_ABI::kernel::avx512bw
TERN_TARGET_END
#endif
