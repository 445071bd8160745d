// Matrix product of numbers that are rounded to bf16, with the dot products of AVX512-BF16. The
// instruction adds the product of the second numbers of two pairs to a float, then that of the
// first ones, each with one rounding to nearest even; subnormal numbers count as zero.
//
//   vdpbf16ps zmm   latency 5 to 6   2/cycle (Zen 4 and Sapphire Rapids: 1/cycle)
//
// A pair holds steps k and k + 1 of a row of A or a column of B. A tile of 8 rows x 48 columns
// takes 24 products, 3 loads and 8 broadcasts for a pair of steps.
#pragma once

#include "tern/isa/registers/avx512.hpp"
#include "tern/isa/target.hpp"

#if TERN_X86
#  include <immintrin.h>

#  include <algorithm>
#  include <cstddef>
#  include <cstdint>

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")
namespace tern::inline TERN_ABI::detail::avx512bf16 {

using floats = isa::avx512::floats;

/// Lines that are packed side by side in a register, rows of A or columns of B.
inline constexpr std::size_t lanes = 16;
inline constexpr std::size_t tile_rows = 8, tile_registers = 3;

/// The elements of the mask as floats; the others are zero.
TERN_INLINE __m512 load(__mmask16 some, const float* at) { return _mm512_maskz_loadu_ps(some, at); }
TERN_INLINE __m512 load(__mmask16 some, const std::int8_t* at) {
  const __m128i codes = _mm_maskz_loadu_epi8(some, at);
  return _mm512_maskz_cvtepi32_ps(0xFFFF, _mm512_maskz_cvtepi8_epi32(0xFFFF, codes));
}

/// 32 numbers of 16 bits: x rounded to bf16, then y.
TERN_INLINE __m512i round(__m512 x, __m512 y) {
  return (__m512i)_mm512_maskz_cvtne2ps_pbh(0xFFFFFFFF, y, x);
}

/// sum + the products of two pairs in every element. This is assembly because clang 16 crashes on
/// the vectors of bf16 numbers that the intrinsic takes, where they come from a broadcast.
TERN_INLINE __m512 dot(__m512 sum, __m512i left, __m512i right) {
  __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(left), "v"(right));
  return sum;
}

/// Puts each number of the first half beside that of the second half.
TERN_INLINE __m512i interleave(__m512i a) {
  const __m512i odd_from_second =
      _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                       21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_maskz_permutexvar_epi16(0xFFFFFFFF, odd_from_second, a);
}

/// Rows of memory are packed while rows that stand so far behind them are fetched: where each row
/// begins a page of its own, the CPU does not fetch by itself.
inline constexpr std::size_t steps_ahead = 16;

/// Where packed lines go. Panels of `Width` lines lie one after another, each of so many pairs. The
/// pair p of the line is at line(i) + p * Width.
template <std::size_t Width>
struct packed_lines {
  std::uint32_t* data;
  std::size_t pairs;

  /// Place of the first pair of line i.
  [[nodiscard]] TERN_INLINE std::uint32_t* line(std::size_t i) const {
    return data + i / Width * Width * pairs + i % Width;
  }
};

/// Packs lines whose elements of one step lie side by side to the lines `first` and up; step k of
/// them is at from + k * step. All lines of a step are read before the next step, since steps may
/// lie on different pages.
template <std::size_t Width, class T>
inline void pack_steps(const T* from, std::size_t lines, std::size_t depth, std::size_t step,
                       const float* factor, std::size_t first, const packed_lines<Width>& to) {
  for (std::size_t p = 0; p < to.pairs; ++p, from += 2 * step) {
    const bool two = 2 * p + 1 < depth;
    for (std::size_t i = 0; i < lines; i += lanes) {
      __builtin_prefetch(from + i + steps_ahead * step);
      __builtin_prefetch(from + i + (steps_ahead + 1) * step);
      const __mmask16 some = floats::first(lines - i);
      __m512 x = load(some, from + i), y = load(two ? some : __mmask16{0}, from + i + two * step);
      if (factor != nullptr) {
        x = _mm512_mul_ps(x, _mm512_set1_ps(factor[2 * p]));
        y = _mm512_mul_ps(y, _mm512_set1_ps(factor[2 * p + 1]));
      }
      _mm512_storeu_si512(to.line(first + i) + p * Width, interleave(round(x, y)));
    }
  }
}

/// Packs up to 16 lines of contiguous steps, which are `line` elements apart.
template <std::size_t Width, class T>
inline void pack_contiguous(const T* from, std::size_t lines, std::size_t line, std::size_t depth,
                            const float* factor, std::uint32_t* to) {
  const std::size_t pairs = (depth + 1) / 2;
  for (std::size_t p = 0; p < pairs; p += lanes) {
    const std::size_t left = depth - 2 * p, second = left > lanes ? lanes : 0;
    const __mmask16 low = floats::first(left),
                    high = floats::first(second != 0 ? left - second : 0);
    __m512 r[lanes];
#  pragma GCC unroll 16
    for (std::size_t i = 0; i < lanes; ++i) {
      const T* const at = from + (i < lines ? i : 0) * line + 2 * p;
      __builtin_prefetch(at + 8 * lanes);
      __builtin_prefetch(at + 9 * lanes);
      __m512 x = load(i < lines ? low : __mmask16{0}, at),
             y = load(i < lines ? high : __mmask16{0}, at + second);
      if (factor != nullptr) {
        x = _mm512_mul_ps(x, _mm512_loadu_ps(factor + 2 * p));
        y = _mm512_mul_ps(y, _mm512_loadu_ps(factor + 2 * p + lanes));
      }
      r[i] = _mm512_castsi512_ps(round(x, y));
    }
    floats::transpose(r);
    const std::size_t n = std::min(lanes, pairs - p);
#  pragma GCC unroll 16
    for (std::size_t i = 0; i < lanes; ++i)
      if (i < n) _mm512_storeu_si512(to + (p + i) * Width, _mm512_castps_si512(r[i]));
  }
}

/// Packs lines, rows of A or columns of B, with zeros up to the next 16 lines and to a whole pair.
/// They become the lines `first`, a multiple of 16, and up. Element k of line i lies at
/// from[i * line + k * step], where `line` or `step` is 1. Where `factor` is not null, step k is
/// multiplied by factor[k] first; it has elements for whole groups of 32 steps.
template <std::size_t Width, class T>
inline void pack(const T* from, std::size_t lines, std::size_t line, std::size_t depth,
                 std::size_t step, const float* factor, std::size_t first,
                 const packed_lines<Width>& to) {
  if (line == 1) return pack_steps(from, lines, depth, step, factor, first, to);
  for (std::size_t i = 0; i < lines; i += lanes)
    pack_contiguous<Width>(from + i * line, std::min(lanes, lines - i), line, depth, factor,
                           to.line(first + i));
}

/// c = a b, or c += a b, for packed operands; c has up to 8 rows and up to V registers of columns.
/// Rows of A are `lanes` apart and registers of B lie side by side, `tile_registers` for each pair.
template <std::size_t V>
inline void tile(const std::uint32_t* a, const std::uint32_t* b, std::size_t pairs, float* c,
                 std::size_t stride, std::size_t rows, std::size_t cols, bool add) {
  __m512 sum[tile_rows][V];
#  pragma GCC unroll 8
  for (std::size_t i = 0; i < tile_rows; ++i)
#  pragma GCC unroll 3
    for (std::size_t v = 0; v < V; ++v) sum[i][v] = _mm512_setzero_ps();
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t v = 0; v < V; ++v) __builtin_prefetch(c + i * stride + v * lanes);
  for (std::size_t p = 0; p < pairs; ++p, a += lanes, b += tile_registers * lanes) {
    __m512i right[V];
#  pragma GCC unroll 3
    for (std::size_t v = 0; v < V; ++v) right[v] = _mm512_loadu_si512(b + v * lanes);
#  pragma GCC unroll 8
    for (std::size_t i = 0; i < tile_rows; ++i) {
      const __m512i left = _mm512_set1_epi32(static_cast<int>(a[i]));
#  pragma GCC unroll 3
      for (std::size_t v = 0; v < V; ++v) sum[i][v] = dot(sum[i][v], left, right[v]);
    }
  }
#  pragma GCC unroll 8
  for (std::size_t i = 0; i < tile_rows; ++i)
#  pragma GCC unroll 3
    for (std::size_t v = 0; v < V; ++v) {
      if (i >= rows) continue;
      const std::size_t n = std::min(lanes, cols - v * lanes);
      float* const at = c + i * stride + v * lanes;
      floats::store(at, add ? _mm512_add_ps(floats::load(at, n), sum[i][v]) : sum[i][v], n);
    }
}

/// The unit of multiply_panels(), see there. A strip of A has panels of 16 rows.
struct unit {
  static constexpr std::size_t block_depth = 640, most_pieces = 4,
                               panel_cols = tile_registers * lanes;
  template <class B>
  static constexpr std::size_t block_cols = 32 * panel_cols;

  /// At least six strips where there are rows enough, of at most 96 rows.
  static constexpr std::size_t strip_rows(std::size_t rows) {
    return std::clamp<std::size_t>((rows / 6 + lanes - 1) / lanes * lanes, lanes, 6 * lanes);
  }
  static constexpr std::size_t packed_bytes(std::size_t lines, std::size_t depth) {
    return (depth + 1) / 2 * lines * sizeof(std::uint32_t);
  }
  static constexpr std::size_t strip_bytes(std::size_t rows, std::size_t depth) {
    return packed_bytes((rows + lanes - 1) / lanes * lanes, depth);
  }
  template <class B>
  static constexpr std::size_t panel_bytes(std::size_t depth) {
    return packed_bytes(panel_cols, depth);
  }

  static void pack_rows(const float* from, std::size_t rows, std::size_t line, std::size_t depth,
                        std::size_t step, const float* factor, std::byte* to) {
    pack<lanes>(from, rows, line, depth, step, factor, 0,
                {reinterpret_cast<std::uint32_t*>(to), (depth + 1) / 2});
  }
  /// Columns `first`, a multiple of 16, and up of the packed block at `to`.
  template <class B>
  static void pack_columns(const B* from, std::size_t cols, std::size_t line, std::size_t depth,
                           std::size_t step, const float* factor, std::size_t first,
                           std::byte* to) {
    pack<panel_cols>(from, cols, line, depth, step, factor, first,
                     {reinterpret_cast<std::uint32_t*>(to), (depth + 1) / 2});
  }

  /// Computes the rows of a strip in all columns of the packed block of B.
  template <class B>
  static void multiply_strip(const std::byte* a, const std::byte* b, std::size_t depth, float* c,
                             std::size_t stride, std::size_t rows, std::size_t cols, bool add) {
    const std::size_t pairs = (depth + 1) / 2;
    for (std::size_t j = 0; j < cols; j += panel_cols, b += panel_bytes<B>(depth)) {
      const std::size_t n = std::min(panel_cols, cols - j);
      const auto one = n > 2 * lanes ? tile<3> : n > lanes ? tile<2> : tile<1>;
      for (std::size_t i = 0; i < rows; i += tile_rows) {
        const auto* const left =
            reinterpret_cast<const std::uint32_t*>(a + packed_bytes(i / lanes * lanes, depth));
        one(left + i % lanes, reinterpret_cast<const std::uint32_t*>(b), pairs, c + i * stride + j,
            stride, std::min(tile_rows, rows - i), n, add);
      }
    }
  }
};

}  // namespace tern::inline TERN_ABI::detail::avx512bf16
TERN_TARGET_END
#endif
