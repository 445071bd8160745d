// What a new token does with the keys and values of a kv_cache: a few rows of floats times the rows
// of a head as they are stored, by the instructions of the CPU, whatever flags the translation unit
// has. Memory delivers the rows; all query heads that share them meet them in one pass.
//
// Keys, four positions: a load with its conversion (vcvtph2ps or vpmovsxbd and vcvtdq2ps) to each
// position and register of columns, a vfmadd231ps to each query row besides. Values: the same, a
// register of sums to each query row and register of columns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tern/infer/kv_cache.hpp"
#include "tern/isa/level.hpp"
#include "tern/isa/target.hpp"
#include "tern/quant/half.hpp"

#if TERN_X86
#  include <immintrin.h>
#endif

namespace tern::inline TERN_ABI::cache_products::portable {

struct ops {
  using reg [[gnu::vector_size(16)]] = float;
  static constexpr std::size_t lanes = 4, most_rows = 2, sums = 8;

  TERN_INLINE static reg fill(float v) { return reg{v, v, v, v}; }
  TERN_INLINE static reg load(const float* p) { return reg{p[0], p[1], p[2], p[3]}; }
  TERN_INLINE static reg load(const std::int8_t* p) {
    return reg{float(p[0]), float(p[1]), float(p[2]), float(p[3])};
  }
  TERN_INLINE static reg load(const std::uint16_t* p) {
    return reg{from_f16(p[0]), from_f16(p[1]), from_f16(p[2]), from_f16(p[3])};
  }
  TERN_INLINE static void store(float* p, reg a) { std::memcpy(p, &a, sizeof a); }
  TERN_INLINE static reg multiply_add(reg a, reg b, reg c) { return a * b + c; }
  TERN_INLINE static void store_totals(float* p, reg a, reg b, reg c, reg d) {
    const reg all[] = {a, b, c, d};
    for (std::size_t i = 0; i < 4; ++i) p[i] = (all[i][0] + all[i][1]) + (all[i][2] + all[i][3]);
  }
};

#include "tern/infer/generic/cache_products.inl"

}  // namespace tern::inline TERN_ABI::cache_products::portable

#if TERN_X86
TERN_TARGET_BEGIN("avx2,fma,f16c")
namespace tern::inline TERN_ABI::cache_products::avx2 {

struct ops {
  using reg = __m256;
  static constexpr std::size_t lanes = 8, most_rows = 2, sums = 8;

  TERN_INLINE static reg fill(float v) { return _mm256_set1_ps(v); }
  TERN_INLINE static reg load(const float* p) { return _mm256_loadu_ps(p); }
  TERN_INLINE static reg load(const std::int8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadu_si64(p)));
  }
  TERN_INLINE static reg load(const std::uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  TERN_INLINE static void store(float* p, reg a) { _mm256_storeu_ps(p, a); }
  TERN_INLINE static reg multiply_add(reg a, reg b, reg c) { return _mm256_fmadd_ps(a, b, c); }
  TERN_INLINE static void store_totals(float* p, reg a, reg b, reg c, reg d) {
    const reg four = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    _mm_storeu_ps(p, _mm_add_ps(_mm256_castps256_ps128(four), _mm256_extractf128_ps(four, 1)));
  }
};

#  include "tern/infer/generic/cache_products.inl"

}  // namespace tern::inline TERN_ABI::cache_products::avx2
TERN_TARGET_END

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl")
namespace tern::inline TERN_ABI::cache_products::avx512bw {

struct ops {
  using reg = __m512;
  static constexpr std::size_t lanes = 16, most_rows = 4, sums = 16;

  // The zero-masked forms: g++ 12 warns of the undefined source inside the plain ones.
  TERN_INLINE static reg fill(float v) { return _mm512_set1_ps(v); }
  TERN_INLINE static reg load(const float* p) { return _mm512_loadu_ps(p); }
  TERN_INLINE static reg load(const std::int8_t* p) {
    return _mm512_maskz_cvtepi32_ps(
        0xFFFF,
        _mm512_maskz_cvtepi8_epi32(0xFFFF, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  TERN_INLINE static reg load(const std::uint16_t* p) {
    return _mm512_maskz_cvtph_ps(0xFFFF, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  TERN_INLINE static void store(float* p, reg a) { _mm512_storeu_ps(p, a); }
  TERN_INLINE static reg multiply_add(reg a, reg b, reg c) { return _mm512_fmadd_ps(a, b, c); }
  TERN_INLINE static __m256 halves(reg a) {
    return _mm256_add_ps(_mm512_maskz_extractf32x8_ps(0xFF, a, 0),
                         _mm512_maskz_extractf32x8_ps(0xFF, a, 1));
  }
  TERN_INLINE static void store_totals(float* p, reg a, reg b, reg c, reg d) {
    const __m256 four =
        _mm256_hadd_ps(_mm256_hadd_ps(halves(a), halves(b)), _mm256_hadd_ps(halves(c), halves(d)));
    _mm_storeu_ps(p, _mm_add_ps(_mm256_castps256_ps128(four), _mm256_extractf128_ps(four, 1)));
  }
};

#  include "tern/infer/generic/cache_products.inl"

}  // namespace tern::inline TERN_ABI::cache_products::avx512bw
TERN_TARGET_END
#endif

namespace tern::inline TERN_ABI::cache_products {

/// The functions of generic/cache_products.inl at a level, which must be supported.
template <class E>
struct entry {
  void (*scores)(const float* q, std::size_t q_stride, std::size_t rows, const stored_rows<E>& k,
                 float factor, float* s, std::size_t s_stride);
  void (*mix)(const float* p, std::size_t p_stride, std::size_t rows, const stored_rows<E>& v,
              float* y, std::size_t y_stride, bool add);
};

template <class E>
entry<E> entry_of([[maybe_unused]] isa::level level) {
#if TERN_X86
  if (level >= isa::level::avx512bw) return {avx512bw::scores<E>, avx512bw::mix<E>};
  if (level >= isa::level::avx2) return {avx2::scores<E>, avx2::mix<E>};
#endif
  return {portable::scores<E>, portable::mix<E>};
}

}  // namespace tern::inline TERN_ABI::cache_products
