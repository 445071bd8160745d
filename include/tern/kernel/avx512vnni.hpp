// AVX-512 VNNI: a register has four bytes of each of 16 rows.
//
//   vpdpbusd zmm   64 multiply-adds   latency 5   1/cycle (Zen 4, one p0 core) or 2/cycle (p05)
//   vpandd / vpsubb zmm               latency 1   2/cycle
//   vpsrlw / vpminub zmm              latency 1   1/cycle (p0)
//   vpshufb / vpcmpeqb zmm            latency 1 and 3   1/cycle (p5)
//   vpbroadcastd zmm, m32             a load, no vector port
//
// matmul: 32 rows x 12 tokens x 4 columns take 24 dot products, 2 loads and 12 broadcasts.
// matvec, two_bit: 16 rows x 16 columns take 4 masks and 4 dot products, 4 cycles of p05.
// matvec, base3: 16 rows x 20 columns take 19 operations to decode and 5 dot products, 12 cycles.
#pragma once

#include "tern/isa/registers/avx512.hpp"
#include "tern/kernel/generic/prelude.hpp"

#if TERN_X86
TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
namespace tern::inline TERN_ABI::kernel::avx512vnni {

struct ops : isa::avx512::integers {
  static constexpr std::size_t tile_tokens = 12, matvec_tokens = 2, matvec_sums = 8;
  static constexpr std::size_t register_totals = 64;
  static constexpr std::size_t max_dots = std::numeric_limits<std::size_t>::max();
  static constexpr int max_digit = 255;

  TERN_INLINE static reg dot(reg sum, reg digits, reg x) {
    sum = _mm512_dpbusd_epi32(sum, digits, x);
    __asm__("" : "+v"(sum));  // else g++ moves sums from register to register
    return sum;
  }
  TERN_INLINE static reg widen(reg sum) { return sum; }
};

#  include "tern/kernel/generic/all.inl"

}  // namespace tern::inline TERN_ABI::kernel::avx512vnni
TERN_TARGET_END
#endif
