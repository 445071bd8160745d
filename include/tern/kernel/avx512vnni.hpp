// AVX-512 VNNI: 16 rows in a register, four bytes of each row a step.
//
//   vpdpbusd zmm   64 multiply-adds   latency 5   1/cycle (Zen 4, one p0 core) or 2/cycle (p05)
//   vpandd / vpsrlw zmm                latency 1   2/cycle
//   vpbroadcastd zmm, m32             a load, no vector port
//
// matmul: 24 dot products, 2 loads and 12 broadcasts for 32 rows x 12 tokens x 4 columns.
// matvec: 4 masks and 4 dot products for 16 rows x 16 columns.
#pragma once

#include "tern/isa/target.hpp"
#include "tern/kernel/problem.hpp"
#include "tern/pack/two_bit.hpp"

#if TERN_X86
#  include <immintrin.h>

#  include <cstring>
#  include <limits>
#  include <utility>

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
namespace tern::inline TERN_ABI::kernel::avx512vnni {

#  include "tern/kernel/generic/zmm.inl"

struct ops : zmm {
  static constexpr std::size_t tile_tokens = 12;
  static constexpr std::size_t matvec_tokens = 2;  // up to which each has its own matvec
  /// Dot products that may be added before `widen`.
  static constexpr std::size_t max_dots = std::numeric_limits<std::size_t>::max();
  static constexpr int max_digit = 255;  // that `dot` is exact for

  TERN_INLINE static reg dot(reg sum, reg digits, reg x) {
    sum = _mm512_dpbusd_epi32(sum, digits, x);
    __asm__("" : "+v"(sum));  // else g++ moves sums from register to register
    return sum;
  }
  TERN_INLINE static reg widen(reg sum) { return sum; }
};

#  include "tern/kernel/generic/two_bit.inl"

#  include "tern/kernel/generic/matvec.inl"

#  include "tern/kernel/generic/matmul.inl"

}  // namespace tern::inline TERN_ABI::kernel::avx512vnni
TERN_TARGET_END
#endif
