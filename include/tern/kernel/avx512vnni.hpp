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
  /// `scaled_digits<p>` leaves digits multiplied by 1 << (plane_bits * p); 0: there are none.
  static constexpr int plane_bits = 2;

  TERN_INLINE static reg dot(reg sum, reg digits, reg x) {
    sum = _mm512_dpbusd_epi32(sum, digits, x);
    __asm__("" : "+v"(sum));  // else g++ moves sums from register to register
    return sum;
  }
  TERN_INLINE static reg widen(reg sum) { return sum; }
  template <int plane>
  TERN_INLINE static reg scaled_digits(reg q) {
    return _mm512_and_si512(q, _mm512_set1_epi8(static_cast<char>(3 << (2 * plane))));
  }
  template <int plane>
  TERN_INLINE static reg unscale(reg sum) {
    // The zero-masked form: g++ 12 warns of the undefined source inside the plain one.
    return _mm512_maskz_srai_epi32(0xFFFF, sum, plane_bits * plane);
  }
};

#  include "tern/kernel/generic/two_bit_matvec.inl"

#  include "tern/kernel/generic/two_bit_matmul.inl"

}  // namespace tern::inline TERN_ABI::kernel::avx512vnni
TERN_TARGET_END
#endif
