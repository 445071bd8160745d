// AVX-VNNI: a register has four bytes of each of 8 rows, and there are 16 registers.
//
//   vpdpbusd ymm   32 multiply-adds   latency 5   2/cycle (p01)
//   vpand ymm 3/cycle, vpsrlw ymm 2/cycle, vpbroadcastd ymm, m32: a load
//   vpshufb / vpminub / vpcmpeqb ymm 2/cycle, vpsubb ymm 3/cycle
//
// matmul: 16 rows x 6 tokens x 4 columns take 12 dot products, 2 loads and 6 broadcasts.
// matvec, two_bit: 16 rows x 16 columns take 8 masks and 8 dot products, 5.3 cycles.
// matvec, base3: 16 rows x 20 columns take 36 operations to decode and 10 dot products, 15.3
// cycles.
#pragma once

#include "tern/isa/registers/avx2.hpp"
#include "tern/kernel/generic/prelude.hpp"

#if TERN_X86
TERN_TARGET_BEGIN("avx2,avxvnni")
namespace tern::inline TERN_ABI::kernel::avxvnni {

struct ops : isa::avx2::integers {
  static constexpr std::size_t tile_tokens = 6, matvec_tokens = 2, matvec_sums = 8;
  static constexpr std::size_t register_totals = 0;
  static constexpr std::size_t max_dots = std::numeric_limits<std::size_t>::max();
  static constexpr int max_digit = 255;

  TERN_INLINE static reg dot(reg sum, reg digits, reg x) {
    sum = _mm256_dpbusd_avx_epi32(sum, digits, x);
    __asm__("" : "+x"(sum));  // else g++ moves sums from register to register
    return sum;
  }
  TERN_INLINE static reg widen(reg sum) { return sum; }
};

#  include "tern/kernel/generic/all.inl"

}  // namespace tern::inline TERN_ABI::kernel::avxvnni
TERN_TARGET_END
#endif
