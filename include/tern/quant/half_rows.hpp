// Rows of F16 from and to float with the CPU's own conversion where it has one, whatever flags the
// translation unit has; the same bits as quant/half.hpp.
//
//   vcvtph2ps ymm, m128   latency 5-7   1/cycle
//   vcvtps2ph m128, ymm   latency 5-8   1/cycle
#pragma once

#include <cstddef>
#include <cstdint>

#include "tern/isa/level.hpp"
#include "tern/isa/target.hpp"
#include "tern/quant/half.hpp"

#if TERN_X86
#  include <immintrin.h>

TERN_TARGET_BEGIN("avx2,f16c")
namespace tern::inline TERN_ABI::detail::f16c {

/// Whole groups of eight; returns how many elements were converted.
inline std::size_t to_float(const std::uint16_t* from, float* to, std::size_t n) {
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(to + i,
                     _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
  return i;
}

inline std::size_t from_float(const float* from, std::uint16_t* to, std::size_t n) {
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
  return i;
}

}  // namespace tern::inline TERN_ABI::detail::f16c
TERN_TARGET_END
#endif

namespace tern::inline TERN_ABI {

/// to[i] = from[i], exactly, i < n.
inline void from_f16(const std::uint16_t* from, float* to, std::size_t n) {
  std::size_t i = 0;
#if TERN_X86
  if (isa::active() >= isa::level::avx2) i = detail::f16c::to_float(from, to, n);
#endif
  for (; i < n; ++i) to[i] = from_f16(from[i]);
}

/// to[i] = from[i] rounded as the single to_f16() does, i < n.
inline void to_f16(const float* from, std::uint16_t* to, std::size_t n) {
  std::size_t i = 0;
#if TERN_X86
  if (isa::active() >= isa::level::avx2) i = detail::f16c::from_float(from, to, n);
#endif
  for (; i < n; ++i) to[i] = to_f16(from[i]);
}

}  // namespace tern::inline TERN_ABI
