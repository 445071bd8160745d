// Single-precision matrix product on the tile unit (AMX), whose operands are bf16. A float is the
// exact sum of three parts, bf16 numbers of 8 bits each. Of their nine products three lie below the
// last bit; the other six, added up in fp32, are as good as fused multiply-adds. An int8 code is a
// bf16 number as it is, so three products are enough. Parts are made while operands are packed.
// With precision::bf16 each operand is rounded to a single part, and one product is left.
//
//   tdpbf16ps  latency 52   1/16 cycles   16 x 16 sums of 32 products
//
// 32 rows x 32 columns x 32 steps of k take 24 tdpbf16ps and 14 tile loads; with codes 12 and 8;
// with rounded operands 4 and 4.
#pragma once

#include "tern/isa/registers/avx512.hpp"
#include "tern/isa/target.hpp"
#include "tern/isa/tile_config.hpp"
#include "tern/linalg/avx512bf16.hpp"
#include "tern/linalg/precision.hpp"

#if TERN_X86_TILES
#  include <immintrin.h>

#  include <algorithm>
#  include <cstddef>
#  include <cstdint>
#  include <type_traits>

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile,amx-bf16")
namespace tern::inline TERN_ABI::detail::amx {

/// A brick has 16 lines, rows of A or columns of B, and 32 steps of k. It is one tile for each
/// part.
inline constexpr std::size_t brick_lines = 16, brick_steps = 32, tile_bytes = 1024;
/// A panel has 32 lines. Its bricks follow each other along k, and the parts within a brick.
inline constexpr std::size_t panel_lines = 2 * brick_lines, block_depth = 256;

/// The number of bf16 numbers that stand for a number of type T.
template <class T, precision P>
inline constexpr std::size_t parts = std::is_same_v<T, float> && P == precision::exact ? 3 : 1;

constexpr std::size_t panel_bytes(std::size_t parts, std::size_t depth) {
  return (depth + brick_steps - 1) / brick_steps * parts * 2 * tile_bytes;
}

/// The elements of the mask as floats; the others are zero.
TERN_INLINE __m512 load(__mmask16 some, const float* at) { return _mm512_maskz_loadu_ps(some, at); }
TERN_INLINE __m512 load(__mmask16 some, const std::int8_t* at) {
  const __m128i codes = _mm_maskz_loadu_epi8(some, at);
  return _mm512_maskz_cvtepi32_ps(0xFFFF, _mm512_maskz_cvtepi8_epi32(0xFFFF, codes));
}

/// Splits the leading 8 bits off x, with their sign.
TERN_INLINE __m512 take_part(__m512& x) {
  const __m512 part =
      _mm512_maskz_and_ps(0xFFFF, x, _mm512_castsi512_ps(_mm512_set1_epi32(-65536)));
  x = _mm512_sub_ps(x, part);
  return part;
}

/// Exchanges the lines of a tile with its pairs of steps.
inline void transpose_tile(float* tile) {
  __m512 r[brick_lines];
#  pragma GCC unroll 16
  for (std::size_t i = 0; i < brick_lines; ++i) r[i] = _mm512_loadu_ps(tile + 16 * i);
  isa::avx512::floats::transpose(r);
#  pragma GCC unroll 16
  for (std::size_t i = 0; i < brick_lines; ++i) _mm512_storeu_ps(tile + 16 * i, r[i]);
}

/// Packs a brick into tiles that are 2 * tile_bytes apart, with zeros past the last line and step.
/// Step p stands beside step p + 16, in A as in B. Memory is contiguous along lines or along steps,
/// and `stride` elements apart in the other direction. What is contiguous becomes a row of the
/// tile, or a column where `exchange` is set. Where `factor` is not null, step p is multiplied by
/// factor[p] first.
template <bool AlongLines, precision P, class T>
inline void pack_brick(const T* from, std::size_t stride, std::size_t lines, std::size_t depth,
                       const float* factor, std::byte* to, bool exchange) {
  const std::size_t second = AlongLines ? brick_lines * stride : brick_lines;
  const std::size_t outer = AlongLines ? depth : lines, inner = AlongLines ? lines : depth;
  const __mmask16 left = isa::avx512::floats::first(inner),
                  right =
                      AlongLines ? left : isa::avx512::floats::first(inner > 16 ? inner - 16 : 0);
  for (std::size_t i = 0; i < brick_lines; ++i) {
    const T* const at = from + i * stride;
    const bool one = i < outer, two = AlongLines ? i + 16 < outer : one;
    __m512 x = load(one ? left : __mmask16{0}, at),
           y = load(two ? right : __mmask16{0}, at + second);
    if (factor != nullptr) {
      x = _mm512_mul_ps(x, AlongLines ? _mm512_set1_ps(factor[i]) : _mm512_loadu_ps(factor));
      y = _mm512_mul_ps(y,
                        AlongLines ? _mm512_set1_ps(factor[i + 16]) : _mm512_loadu_ps(factor + 16));
    }
    if constexpr (P == precision::bf16) {
      _mm512_storeu_si512(to + i * 64, avx512bf16::interleave(avx512bf16::round(x, y)));
      continue;
    }
#  pragma GCC unroll 3
    for (std::size_t s = 0; s < parts<T, P>; ++s) {
      const __m512i low = _mm512_castps_si512(take_part(x)),
                    high = _mm512_castps_si512(take_part(y));
      const __m512i pair =
          _mm512_mask_mov_epi16(_mm512_maskz_srli_epi32(0xFFFF, low, 16), 0xAAAAAAAA, high);
      _mm512_storeu_si512(to + s * 2 * tile_bytes + i * 64, pair);
    }
  }
  if (exchange)
    for (std::size_t s = 0; s < parts<T, P>; ++s)
      transpose_tile(reinterpret_cast<float*>(to + s * 2 * tile_bytes));
}

/// Packs up to 32 lines, rows of A or columns of B, times factor[step], or as they are where
/// `factor` is null. Element p of line i lies at from[i * line + p * step], where `line` or `step`
/// is 1. `factor` has the elements of whole bricks.
template <precision P, class T>
inline void pack_panel(const T* from, std::size_t lines, std::size_t line, std::size_t depth,
                       std::size_t step, const float* factor, std::byte* to, bool of_a) {
  for (std::size_t p = 0; p < depth; p += brick_steps, to += parts<T, P> * 2 * tile_bytes)
    for (std::size_t i = 0; i < panel_lines; i += brick_lines) {
      const T* const at = from + i * line + p * step;
      const std::size_t n = lines > i ? std::min(lines - i, brick_lines) : 0;
      std::byte* const tile = to + i / brick_lines * tile_bytes;
      const float* const factors = factor != nullptr ? factor + p : nullptr;
      if (line == 1)
        pack_brick<true, P>(at, step, n, depth - p, factors, tile, of_a);
      else
        pack_brick<false, P>(at, line, n, depth - p, factors, tile, !of_a);
    }
}

/// Tiles 0 to 3 hold sums, 4 and 5 rows of A, 6 and 7 columns of B.
inline constexpr isa::tile_config config{};

TERN_INLINE void load_rows(const std::byte* a, std::size_t part) {
  _tile_loadd(4, a + 2 * part * tile_bytes, 64);
  _tile_loadd(5, a + (2 * part + 1) * tile_bytes, 64);
}
TERN_INLINE void load_cols(const std::byte* b, std::size_t part) {
  _tile_loadd(6, b + 2 * part * tile_bytes, 64);
  _tile_loadd(7, b + (2 * part + 1) * tile_bytes, 64);
}
TERN_INLINE void multiply() {
  _tile_dpbf16ps(0, 4, 6);
  _tile_dpbf16ps(1, 4, 7);
  _tile_dpbf16ps(2, 5, 6);
  _tile_dpbf16ps(3, 5, 7);
}

/// Adds the products of part i of a and part j of b with i + j < 3, or of the only parts. Each
/// product shares an operand with the one before.
template <std::size_t LeftParts, std::size_t Parts>
TERN_INLINE void multiply_bricks(const std::byte* a, const std::byte* b) {
  if constexpr (LeftParts == 1) {
    load_cols(b, 0);
  } else if constexpr (Parts == 1) {
    load_cols(b, 0), load_rows(a, 2), multiply();
    load_rows(a, 1), multiply();
  } else {
    load_rows(a, 0), load_cols(b, 2), multiply();
    load_cols(b, 1), multiply();
    load_rows(a, 1), multiply();
    load_cols(b, 0), multiply();
    load_rows(a, 2), multiply();
  }
  load_rows(a, 0), multiply();
}

/// c = a panel of A times a panel of B, or c += the same; c is 32 x 32.
template <std::size_t LeftParts, std::size_t Parts>
inline void multiply_bricks_of(const std::byte* a, const std::byte* b, std::size_t bricks, float* c,
                               std::size_t stride, bool add) {
  __asm__ volatile("" ::: "memory");  // g++ does not know that tile loads read memory
  float* const lower = c + brick_lines * stride;
  if (add) {
    _tile_loadd(0, c, stride * sizeof(float));
    _tile_loadd(1, c + 16, stride * sizeof(float));
    _tile_loadd(2, lower, stride * sizeof(float));
    _tile_loadd(3, lower + 16, stride * sizeof(float));
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (std::size_t i = 0; i < bricks; ++i)
    multiply_bricks<LeftParts, Parts>(a + i * LeftParts * 2 * tile_bytes,
                                      b + i * Parts * 2 * tile_bytes);
  _tile_stored(0, c, stride * sizeof(float));
  _tile_stored(1, c + 16, stride * sizeof(float));
  _tile_stored(2, lower, stride * sizeof(float));
  _tile_stored(3, lower + 16, stride * sizeof(float));
}

/// Computes up to 32 rows of c in all of its columns; b holds their panels one after another.
template <std::size_t LeftParts, std::size_t Parts>
inline void multiply_strip(const std::byte* a, const std::byte* b, std::size_t depth, float* c,
                           std::size_t stride, std::size_t rows, std::size_t cols, bool add) {
  _tile_loadconfig(&config);
  alignas(64) float edge[panel_lines * panel_lines] = {};
  const auto one = multiply_bricks_of<LeftParts, Parts>;
  const std::size_t bricks = (depth + brick_steps - 1) / brick_steps;
  for (std::size_t j = 0; j < cols; j += panel_lines, b += panel_bytes(Parts, depth)) {
    const std::size_t n = std::min(panel_lines, cols - j);
    if (rows == panel_lines && n == panel_lines) {
      one(a, b, bricks, c + j, stride, add);
      continue;
    }
    for (std::size_t i = 0; add && i < rows; ++i)
      for (std::size_t k = 0; k < n; ++k) edge[i * panel_lines + k] = c[i * stride + j + k];
    one(a, b, bricks, edge, panel_lines, add);
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t k = 0; k < n; ++k) c[i * stride + j + k] = edge[i * panel_lines + k];
  }
  _tile_release();
}

/// The unit of multiply_panels(), see there. A strip of A is one panel. A block of B takes at most
/// 768 KB, and a strip 48 KB.
template <precision P>
struct unit {
  static constexpr std::size_t block_depth = amx::block_depth, most_pieces = 1,
                               panel_cols = panel_lines;
  template <class B>
  static constexpr std::size_t block_cols = 1536 / parts<B, P>;

  static constexpr std::size_t strip_rows(std::size_t /*rows*/) { return panel_lines; }
  static constexpr std::size_t strip_bytes(std::size_t /*rows*/, std::size_t depth) {
    return amx::panel_bytes(parts<float, P>, depth);
  }
  template <class B>
  static constexpr std::size_t panel_bytes(std::size_t depth) {
    return amx::panel_bytes(parts<B, P>, depth);
  }
  static void pack_rows(const float* from, std::size_t rows, std::size_t line, std::size_t depth,
                        std::size_t step, const float* factor, std::byte* to) {
    pack_panel<P>(from, rows, line, depth, step, factor, to, true);
  }
  /// Columns `first`, a multiple of 32, and up of the packed block at `to`.
  template <class B>
  static void pack_columns(const B* from, std::size_t cols, std::size_t line, std::size_t depth,
                           std::size_t step, const float* factor, std::size_t first,
                           std::byte* to) {
    to += first / panel_lines * panel_bytes<B>(depth);
    for (std::size_t i = 0; i < cols; i += panel_lines, to += panel_bytes<B>(depth))
      pack_panel<P>(from + i * line, std::min(panel_lines, cols - i), line, depth, step, factor, to,
                    false);
  }
  template <class B>
  static void multiply_strip(const std::byte* a, const std::byte* b, std::size_t depth, float* c,
                             std::size_t stride, std::size_t rows, std::size_t cols, bool add) {
    amx::multiply_strip<parts<float, P>, parts<B, P>>(a, b, depth, c, stride, rows, cols, add);
  }
};

/// Whether the tile unit is faster for a product of this shape. For smaller ones packing costs more
/// than it saves.
constexpr bool suits(std::size_t rows, std::size_t depth, std::size_t cols) {
  return rows >= 128 && depth >= 128 && cols >= 128;
}

}  // namespace tern::inline TERN_ABI::detail::amx
TERN_TARGET_END
#endif
