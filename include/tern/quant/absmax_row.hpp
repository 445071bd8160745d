// absmax_int8 of one token of floats by the instructions of the CPU, whatever flags the translation
// unit has; what it is compiled for is SSE2 in a program without any. (On AArch64 it is NEON.)
//
// A register of floats takes 6 operations of the vector ports and 2 loads:
//   max_abs      vpand, vpmaxsd
//   store_codes  vmulps, vcvtps2dq, vpaddd, and a quarter of 3 packs and a permutation (port 5)
// On three ports for ymm (p015) and two for zmm (p05) that is 256 and 192 cycles for 1024 values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tern/isa/level.hpp"
#include "tern/isa/target.hpp"

#if TERN_X86
#  include <immintrin.h>

TERN_TARGET_BEGIN("avx2")
namespace tern::inline TERN_ABI::quant::avx2 {

struct ops {
  using reg = __m256i;
  static constexpr std::size_t lanes = 8;

  TERN_INLINE static reg fill(std::int32_t v) { return _mm256_set1_epi32(v); }
  TERN_INLINE static __m256 fill(float v) { return _mm256_set1_ps(v); }
  TERN_INLINE static void store(void* p, reg a) {
    _mm256_storeu_si256(static_cast<__m256i*>(p), a);
  }
  TERN_INLINE static reg add(reg a, reg b) { return _mm256_add_epi32(a, b); }
  TERN_INLINE static reg max(reg a, reg b) { return _mm256_max_epi32(a, b); }
  TERN_INLINE static reg magnitude(const float* p) {
    return _mm256_and_si256(_mm256_castps_si256(_mm256_loadu_ps(p)), fill(0x7FFFFFFF));
  }
  TERN_INLINE static reg round(const float* p, __m256 factor) {
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(p), factor));
  }
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

struct ops {
  using reg = __m512i;
  static constexpr std::size_t lanes = 16;

  // The zero-masked forms: g++ 12 warns of the undefined source inside the plain ones.
  TERN_INLINE static reg fill(std::int32_t v) { return _mm512_set1_epi32(v); }
  TERN_INLINE static __m512 fill(float v) { return _mm512_set1_ps(v); }
  TERN_INLINE static void store(void* p, reg a) { _mm512_storeu_si512(p, a); }
  TERN_INLINE static reg add(reg a, reg b) { return _mm512_add_epi32(a, b); }
  TERN_INLINE static reg max(reg a, reg b) { return _mm512_maskz_max_epi32(0xFFFF, a, b); }
  TERN_INLINE static reg magnitude(const float* p) {
    return _mm512_and_si512(_mm512_loadu_si512(p), fill(0x7FFFFFFF));
  }
  TERN_INLINE static reg round(const float* p, __m512 factor) {
    return _mm512_maskz_cvtps_epi32(0xFFFF, _mm512_mul_ps(_mm512_loadu_ps(p), factor));
  }
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

/// The functions of generic/absmax_row.inl at a level; null where it has none of its own.
struct absmax_row {
  /// Of n elements; their codes at x * factor, whose sum is returned.
  float (*max_abs)(const float* x, std::size_t n) = nullptr;
  std::int32_t (*store_codes)(const float* x, std::size_t n, float factor,
                              std::int8_t* codes) = nullptr;
};

/// Those of the best level not above `level`.
inline absmax_row absmax_row_of([[maybe_unused]] isa::level level) {
#if TERN_X86
  if (level >= isa::level::avx512bw) return {avx512bw::max_abs, avx512bw::store_codes};
  if (level >= isa::level::avx2) return {avx2::max_abs, avx2::store_codes};
#endif
  return {};
}

}  // namespace tern::inline TERN_ABI::quant
