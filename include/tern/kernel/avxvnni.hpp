// AVX-VNNI: 8 rows in a register, four bytes of each row a step; 16 registers.
//
//   vpdpbusd ymm   32 multiply-adds   latency 5   2/cycle (p01)
//   vpand ymm 3/cycle, vpsrlw ymm 2/cycle, vpbroadcastd ymm, m32: a load
//   vpshufb / vpminub / vpcmpeqb ymm 2/cycle, vpsubb ymm 3/cycle
//
// matmul: 12 dot products, 2 loads and 6 broadcasts for 16 rows x 6 tokens x 4 columns.
// matvec, two_bit: 8 masks and 8 dot products for 16 rows x 16 columns: 5.3 cycles.
// matvec, base3: 36 operations to decode, 10 dot products for 16 rows x 20 columns: 15.3 cycles.
#pragma once

#include "tern/isa/target.hpp"
#include "tern/kernel/base3_tables.hpp"
#include "tern/kernel/problem.hpp"
#include "tern/pack/base3.hpp"
#include "tern/pack/eight_bit.hpp"
#include "tern/pack/four_bit.hpp"
#include "tern/pack/two_bit.hpp"

#if TERN_X86
#  include <immintrin.h>

#  include <cstring>
#  include <limits>
#  include <utility>

TERN_TARGET_BEGIN("avx2,avxvnni")
namespace tern::inline TERN_ABI::kernel::avxvnni {

#  include "tern/kernel/generic/ymm.inl"

struct ops : ymm {
  static constexpr std::size_t tile_tokens = 6;
  static constexpr std::size_t matvec_tokens = 2;  // up to which each has its own matvec
  static constexpr std::size_t max_dots = std::numeric_limits<std::size_t>::max();
  static constexpr int max_digit = 255;  // that `dot` is exact for

  TERN_INLINE static reg dot(reg sum, reg digits, reg x) {
    sum = _mm256_dpbusd_avx_epi32(sum, digits, x);
    __asm__("" : "+x"(sum));  // else g++ moves sums from register to register
    return sum;
  }
  TERN_INLINE static reg widen(reg sum) { return sum; }
};

#  include "tern/kernel/generic/two_bit.inl"

#  include "tern/kernel/generic/base3.inl"

#  include "tern/kernel/generic/wide.inl"

#  include "tern/kernel/generic/matvec.inl"

#  include "tern/kernel/generic/matmul.inl"

}  // namespace tern::inline TERN_ABI::kernel::avxvnni
TERN_TARGET_END
#endif
