// absmax_int8 of a token of floats with the instructions of the CPU, whatever flags the translation
// unit has. A program without flags is compiled for SSE2, or for NEON on AArch64.
//
// A register of floats takes 6 operations of the vector ports and 2 loads:
//   max_abs      vpand, vpmaxsd
//   store_codes  vmulps, vcvtps2dq, vpaddd, and a quarter of 3 packs and a permutation (port 5)
// With three ports for ymm (p015) and two for zmm (p05), 1024 values take 256 and 192 cycles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tern/isa/dispatch_table.hpp"
#include "tern/isa/level.hpp"
#include "tern/isa/registers/avx2.hpp"
#include "tern/isa/registers/avx512.hpp"
#include "tern/isa/target.hpp"

#if TERN_X86

TERN_TARGET_BEGIN("avx2")
namespace tern::inline TERN_ABI::quant::avx2 {

struct ops : isa::avx2::integers {
  static constexpr std::size_t lanes = 8;

  using isa::avx2::integers::fill;
  TERN_INLINE static __m256 fill(float v) { return _mm256_set1_ps(v); }
  /// The bits of |p[i]|.
  TERN_INLINE static reg magnitude(const float* p) {
    return _mm256_and_si256(_mm256_castps_si256(_mm256_loadu_ps(p)), fill(0x7FFFFFFF));
  }
  /// p[i] * factor, rounded half to even.
  TERN_INLINE static reg round(const float* p, __m256 factor) {
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(p), factor));
  }
  /// The numbers of a, b, c and d as bytes, in order.
  TERN_INLINE static reg narrow(reg a, reg b, reg c, reg d) {
    const reg bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  }
};

#  include "tern/quant/generic/absmax_row.inl"

}  // namespace tern::inline TERN_ABI::quant::avx2
TERN_TARGET_END

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl")
namespace tern::inline TERN_ABI::quant::avx512bw {

struct ops : isa::avx512::integers {
  static constexpr std::size_t lanes = 16;

  using isa::avx512::integers::fill;
  TERN_INLINE static __m512 fill(float v) { return _mm512_set1_ps(v); }
  /// The bits of |p[i]|.
  TERN_INLINE static reg magnitude(const float* p) {
    return _mm512_and_si512(load(p), fill(0x7FFFFFFF));
  }
  /// p[i] * factor, rounded half to even.
  TERN_INLINE static reg round(const float* p, __m512 factor) {
    return _mm512_maskz_cvtps_epi32(0xFFFF, _mm512_mul_ps(_mm512_loadu_ps(p), factor));
  }
  /// The numbers of a, b, c and d as bytes, in order.
  TERN_INLINE static reg narrow(reg a, reg b, reg c, reg d) {
    const reg bytes = _mm512_packs_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
    const reg order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_maskz_permutexvar_epi32(0xFFFF, order, bytes);
  }
};

#  include "tern/quant/generic/absmax_row.inl"

}  // namespace tern::inline TERN_ABI::quant::avx512bw
TERN_TARGET_END
#endif

namespace tern::inline TERN_ABI::quant {

/// The two passes of absmax_int8 over a token, as generic/absmax_row.inl has them; null where a
/// level has no such functions.
struct absmax_row {
  /// The largest magnitude of n elements.
  float (*max_abs)(const float* x, std::size_t n) = nullptr;
  /// Stores x * factor, rounded, as codes and returns their sum.
  std::int32_t (*store_codes)(const float* x, std::size_t n, float factor,
                              std::int8_t* codes) = nullptr;
};

/// The passes of all levels.
// clang-format off
inline constexpr isa::dispatch_table<absmax_row> absmax_rows{
    {isa::level::scalar, {}},
#if TERN_X86
    {isa::level::avx2, {avx2::max_abs, avx2::store_codes}},
    {isa::level::avx512bw, {avx512bw::max_abs, avx512bw::store_codes}},
#endif
};
// clang-format on

}  // namespace tern::inline TERN_ABI::quant
