// rms_norm of rows of floats, and the quantization of the result, with the instructions of the
// CPU, whatever flags the translation unit has. The quantization computes the normalised row twice
// rather than storing it.
//
// A register of floats takes, besides its loads:
//   sum_of_squares  vfmadd231ps
//   scale           vmulps twice, and a store
//   max_scaled      vmulps twice, vpand, vpmaxsd
//   store_codes     vmulps three times, vcvtps2dq, vpaddd, and a quarter of 3 packs and a
//   permutation
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tern/core/is_finite.hpp"
#include "tern/isa/dispatch_table.hpp"
#include "tern/isa/level.hpp"
#include "tern/isa/registers/avx2.hpp"
#include "tern/isa/registers/avx512.hpp"
#include "tern/isa/target.hpp"
#include "tern/quant/absmax_row.hpp"

namespace tern::inline TERN_ABI::norm {

/// The rows that are normalised.
struct norm_arguments {
  const float* x;          ///< (rows, cols), with dense rows
  std::size_t x_stride;    ///< elements from one row to the next
  std::size_t rows, cols;  ///< shape of x
  const float* gain;       ///< cols elements, or null for ones
  float eps;               ///< is added to the mean square
};

}  // namespace tern::inline TERN_ABI::norm

#if TERN_X86

TERN_TARGET_BEGIN("avx2,fma,f16c")
namespace tern::inline TERN_ABI::norm::avx2 {

struct ops : isa::avx2::floats {
  using codes = quant::avx2::ops;
  static constexpr std::size_t parts = 4;

  TERN_INLINE static reg add_eight(reg a, const float* p) {
    return multiply_add(load(p), load(p), a);
  }
  TERN_INLINE static void store_eight(float* p, const reg (&s)[parts]) {
    store(p, add(add(s[0], s[1]), add(s[2], s[3])));
  }
  TERN_INLINE static __m256i magnitude(reg a) {
    return _mm256_and_si256(_mm256_castps_si256(a), _mm256_set1_epi32(0x7FFFFFFF));
  }
  TERN_INLINE static __m256i round(reg a) { return _mm256_cvtps_epi32(a); }
};

#  include "tern/nn/generic/norm_rows.inl"

}  // namespace tern::inline TERN_ABI::norm::avx2
TERN_TARGET_END

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl")
namespace tern::inline TERN_ABI::norm::avx512bw {

struct ops : isa::avx512::floats {
  using codes = quant::avx512bw::ops;
  static constexpr std::size_t parts = 2;

  TERN_INLINE static reg add_eight(reg a, const float* p) {
    const reg v = _mm512_maskz_loadu_ps(0xFF, p);
    return _mm512_mask3_fmadd_ps(v, v, a, 0xFF);
  }
  TERN_INLINE static void store_eight(float* p, const reg (&s)[parts]) {
    _mm256_storeu_ps(p, _mm256_add_ps(add_halves(s[0]), add_halves(s[1])));
  }
  TERN_INLINE static __m512i magnitude(reg a) {
    return _mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32(0x7FFFFFFF));
  }
  TERN_INLINE static __m512i round(reg a) { return _mm512_maskz_cvtps_epi32(0xFFFF, a); }
};

#  include "tern/nn/generic/norm_rows.inl"

}  // namespace tern::inline TERN_ABI::norm::avx512bw
TERN_TARGET_END
#endif

namespace tern::inline TERN_ABI::norm {

/// The functions of generic/norm_rows.inl; null where a level has none.
struct row_functions {
  /// y(r, c) = x(r, c) * inverse * gain[c], where inverse = 1 / sqrt(mean(x(r)^2) + eps) is stored
  /// in inverses[r * inverse_step] unless that is null. y may be x. Returns the number of rows that
  /// are done: it stops before one whose mean square is not finite.
  std::size_t (*normalize)(const norm_arguments&, float* y, std::size_t y_stride, float* inverses,
                           std::size_t inverse_step) = nullptr;
  /// Codes (rows, cols), scales and sums of the normalised rows, as absmax_int8 with this eps makes
  /// them. Returns the number of rows that are done: it stops before one that normalize() stops at,
  /// or that is not finite when it is normalised.
  std::size_t (*quantize)(const norm_arguments&, float eps, std::int8_t* codes, float* scales,
                          std::int32_t* sums) = nullptr;
};

/// The functions of all levels.
// clang-format off
inline constexpr isa::dispatch_table<row_functions> rows{
    {isa::level::scalar, {}},
#if TERN_X86
    {isa::level::avx2, {avx2::normalize, avx2::quantize}},
    {isa::level::avx512bw, {avx512bw::normalize, avx512bw::quantize}},
#endif
};
// clang-format on

}  // namespace tern::inline TERN_ABI::norm
