// AMX: tiles of 16 rows of 64 bytes, a product of two of them in one instruction.
//
//   tdpbssd     16 tokens x 16 rows x 64 columns   16 cycles, one for each token
//   tileloadd   16 rows of 64 bytes                8 cycles, many more where rows cross cache lines
//   tilestored  16 rows of 64 bytes                15 cycles
//   vpshufb zmm 1/cycle (p5), vpandd zmm 2/cycle, vpsrlw zmm 1/cycle, 64 bytes stored a cycle
//
// 32 tokens x 32 rows x 64 columns take 64 cycles of products, 32 of loads and 32 of stores. The
// stores are codes that are unpacked a step ahead into a ring, which stays in L1.
// 16 tokens x 64 rows x 64 columns take 64 cycles of products, 40 of loads and 64 of stores.
//
// Both operands are signed. So row sums are not needed, and what x holds past its end is multiplied
// by 0.
#pragma once

#include "tern/isa/target.hpp"
#include "tern/isa/tile_config.hpp"
#include "tern/kernel/avx512vbmi.hpp"
#include "tern/kernel/problem.hpp"
#include "tern/pack/two_bit.hpp"

#if TERN_X86_TILES
#  include <immintrin.h>

#  include <algorithm>

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,amx-tile,amx-int8")
namespace tern::inline TERN_ABI::kernel::amx {

namespace below = avx512vbmi;  // this level has its instructions

inline constexpr std::size_t tile_tokens = 16, tile_cols = 64, tile_planes = 16, tile_bytes = 1024;

/// Keeps stores before tile loads: g++ does not know that these read memory.
TERN_INLINE void memory_fence() { __asm__ volatile("" ::: "memory"); }

/// Sets the tiles up. Tiles 0 and 1 hold sums of `first` tokens, 2 and 3 sums of `second` tokens; 4
/// and 5 hold the activations of the two; 6 and 7 hold weights.
inline void configure(std::size_t first, std::size_t second) {
  isa::tile_config tiles;
  tiles.rows[0] = tiles.rows[1] = tiles.rows[4] = static_cast<std::uint8_t>(first);
  tiles.rows[2] = tiles.rows[3] = tiles.rows[5] = static_cast<std::uint8_t>(second);
  __asm__ volatile("" ::"r"(&tiles) : "memory");  // g++ thinks that only 8 bytes are read
  _tile_loadconfig(&tiles);
}

/// Unpacks the codes of a line. Each plane becomes 64 bytes, 16 rows of four neighbouring columns.
template <class Format>
TERN_INLINE void unpack_planes(const packed_line& line, std::int8_t* to) {
  using format = below::digit_reader<Format>;
  const auto q = format::decode(below::ops::load(line.bytes.data()));
  [&]<std::size_t... plane>(std::index_sequence<plane...>) __attribute__((always_inline)) {
    (below::ops::store(to + 64 * plane, _mm512_add_epi8(format::template digits<plane>(q),
                                                        _mm512_set1_epi8(Format::least_code))),
     ...);
  }
  (below::plane_indices<Format>{});
}

/// One table has the code of the lower digit of a nibble, the other one that of the upper digit.
template <>
TERN_INLINE void unpack_planes<two_bit>(const packed_line& line, std::int8_t* to) {
  const __m512i lower = _mm512_set1_epi32(0x000100FF);
  const __m512i upper = _mm512_set4_epi32(0, 0x01010101, 0, -1);
  const __m512i nibble = _mm512_set1_epi8(15), q = _mm512_load_si512(line.bytes.data());
  const __m512i low = _mm512_and_si512(q, nibble),
                high = _mm512_and_si512(_mm512_srli_epi16(q, 4), nibble);
  _mm512_store_si512(to, _mm512_shuffle_epi8(lower, low));
  _mm512_store_si512(to + 64, _mm512_shuffle_epi8(upper, low));
  _mm512_store_si512(to + 128, _mm512_shuffle_epi8(lower, high));
  _mm512_store_si512(to + 192, _mm512_shuffle_epi8(upper, high));
}

/// Tiles of `panels` panels. They are unpacked step by step into a ring that holds a few steps.
template <class Format, std::size_t panels>
struct weight_tiles {
  static constexpr std::size_t planes = Format::cols / 4;  // planes of a line
  static constexpr bool whole = tile_planes % planes == 0;
  // The ring holds this number of steps, so that no line crosses its end.
  static constexpr std::size_t steps = whole ? 2 : planes;
  static constexpr std::size_t stride = steps * tile_bytes;

  const packed_line* packed[panels];
  std::size_t lines;
  std::int8_t* ring;

  /// The first line that no step before this one needs.
  TERN_INLINE static std::size_t first_line(std::size_t step) {
    return (tile_planes * step + planes - 1) / planes;
  }
  /// The place where a line of a panel is unpacked.
  TERN_INLINE std::int8_t* place(std::size_t panel, std::size_t line) const {
    return ring + panel * stride + line % (steps * tile_planes / planes) * planes * 64;
  }
  /// Unpacks the lines that this step is the first to need.
  TERN_INLINE void unpack(std::size_t step) const {
    const std::size_t begin = first_line(step), end = first_line(step + 1);
    if (end > lines) return unpack_last(begin, end);
    for (std::size_t p = 0; p < panels; ++p)
      for (std::size_t i = 0; i <= tile_planes / planes; ++i)
        if (whole ? i < tile_planes / planes : begin + i < end)
          unpack_planes<Format>(packed[p][begin + i], place(p, begin + i));
    memory_fence();
  }
  /// The same at the end of the weights, with zeros where there are no more lines.
  void unpack_last(std::size_t begin, std::size_t end) const {
    for (std::size_t p = 0; p < panels; ++p)
      for (std::size_t line = begin; line < end; ++line)
        if (line < lines)
          unpack_planes<Format>(packed[p][line], place(p, line));
        else
          for (std::size_t i = 0; i < planes; ++i)
            _mm512_store_si512(place(p, line) + 64 * i, _mm512_setzero_si512());
    memory_fence();
  }
  /// The tile of a step, for the first panel.
  TERN_INLINE const std::int8_t* tile(std::size_t step) const {
    return ring + step % steps * tile_bytes;
  }
};

/// Computes out[t][0 .. 16 panels) of n tokens: with two panels of weights for up to 32 tokens, the
/// `first` of which have tiles of their own, or with four panels for up to 16 tokens.
template <class Format, std::size_t panels>
[[gnu::noinline]] void tiles(const weight_tiles<Format, panels>& weights, const std::int8_t* x,
                             std::size_t n, std::size_t first, std::size_t steps, std::int32_t* out,
                             std::size_t out_stride) {
  const weight_tiles<Format, panels> w = weights;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  w.unpack(0);
  for (std::size_t s = 0; s < steps; ++s, x += n * tile_cols) {
    if (s + 1 < steps) w.unpack(s + 1);
    const std::int8_t* at = w.tile(s);
    _tile_stream_loadd(4, x, tile_cols);
    _tile_loadd(6, at, 64);
    _tile_dpbssd(0, 4, 6);
    _tile_loadd(7, at + w.stride, 64);
    _tile_dpbssd(1, 4, 7);
    if constexpr (panels == 2) {
      _tile_stream_loadd(5, x + first * tile_cols, tile_cols);
      _tile_dpbssd(2, 5, 6);
      _tile_dpbssd(3, 5, 7);
    } else {
      _tile_loadd(6, at + 2 * w.stride, 64);
      _tile_dpbssd(2, 4, 6);
      _tile_loadd(7, at + 3 * w.stride, 64);
      _tile_dpbssd(3, 4, 7);
    }
  }
  std::int32_t* rest = panels == 2 ? out + first * out_stride : out + 32;
  _tile_stored(0, out, out_stride * sizeof *out);
  _tile_stored(1, out + 16, out_stride * sizeof *out);
  _tile_stored(2, rest, out_stride * sizeof *out);
  _tile_stored(3, rest + 16, out_stride * sizeof *out);
  memory_fence();
}

/// Adds the scaled sums of a group of columns to y; `sums` has `stride` of them for each token. The
/// rows [row, row + rows) are those of a tile.
inline void add_scaled(const group_scaling& scaling, std::size_t token, std::size_t tokens,
                       std::size_t row, std::size_t rows, std::size_t group,
                       const std::int32_t* sums, std::size_t stride) {
  using below::ops;
  float few[16], edge[16];
  scaling.copy<16>(row, rows, group, few);
  const auto scales = ops::load_reals(few);
  for (std::size_t t = 0; t < tokens; ++t) {
    float* const y = scaling.totals + (token + t) * scaling.stride + row;
    const auto a = ops::load(sums + t * stride);
    if (rows == 16) {
      below::add_scaled(y, a, scales);
    } else {
      std::memcpy(edge, y, rows * sizeof *y);
      below::add_scaled(edge, a, scales);
      std::memcpy(y, edge, rows * sizeof *y);
    }
  }
}

/// Multiplies `panels` panels from `panel` on with all groups of a task. Where the task has fewer
/// panels, its last one is multiplied again in their place and the result is dropped. `ring` has as
/// many bytes as weight_tiles of these panels need.
template <std::size_t panels, class Format>
void columns(const problem<Format>& p, const typename problem<Format>::range& task,
             std::size_t panel, std::int8_t* ring) {
  constexpr std::size_t most_rows = panels * 16, most_tokens = 64 / panels;
  const std::size_t row = panel * Format::rows, left = p.weights.rows - row;
  const std::size_t rows = left < most_rows ? left : most_rows;
  const bool scaled = p.scaling.totals != nullptr;
  const bool direct = !scaled && left >= most_rows && panel + panels <= task.panel_end;
  const std::size_t all_lines = p.weights.panel_lines(), group_lines = p.group_lines();
  const std::size_t group_cols = scaled ? p.weights.scale_cols : p.weights.cols;
  // Each group of x fills whole tiles with the columns of whole lines.
  const std::size_t x_cols = (group_lines * Format::cols + tile_cols - 1) / tile_cols * tile_cols;
  weight_tiles<Format, panels> w;
  alignas(64) std::int32_t edge[most_rows * most_tokens];
  w.ring = ring;
  std::size_t configured = 0;
  for (std::size_t g = task.group; g < task.group_end; ++g) {
    const std::size_t token = p.parts.first(g), n = p.parts.first(g + 1) - token;
    const std::size_t first = panels == 4 ? n : (n + 1) / 2;
    if (n != configured) configure(first, panels == 4 ? n : n - first);
    configured = n;
    const std::int8_t* x = p.x + token * p.x_stride + n * p.x_first;
    for (std::size_t col = 0, group = 0, line = 0; line < all_lines;
         col += group_cols, ++group, line += group_lines) {
      const std::size_t more = p.weights.cols - col, cols = group_cols < more ? group_cols : more,
                        steps = (cols + tile_cols - 1) / tile_cols;
      for (std::size_t i = 0; i < panels; ++i)
        w.packed[i] =
            p.weights.panel(panel + i < task.panel_end ? panel + i : task.panel_end - 1) + line;
      w.lines = group_lines < all_lines - line ? group_lines : all_lines - line;
      std::int32_t* out = direct ? p.out + token * p.out_stride + row : edge;
      tiles(w, x, n, first, steps, out, direct ? p.out_stride : most_rows);
      x += n * x_cols;
      for (std::size_t i = 0; scaled && i < rows && panel + i / 16 < task.panel_end; i += 16)
        add_scaled(p.scaling, token, n, row + i, rows - i < 16 ? rows - i : 16, group, edge + i,
                   most_rows);
    }
    if (!direct && !scaled)
      below::copy_rows(edge, most_rows, p.out + token * p.out_stride + row, p.out_stride, n, rows);
  }
}

/// From this number of tokens on tiles are quicker.
template <class Format>
inline constexpr std::size_t least_tokens = weight_tiles<Format, 2>::whole ? 3 : 6;

/// The most tokens of a group; 0 where each token has a matvec of its own.
template <class Format>
inline std::size_t group_size(std::size_t tokens) {
  if (tokens < least_tokens<Format>) return below::group_size(tokens);
  return tokens <= tile_tokens ? tile_tokens : 2 * tile_tokens;
}

/// Bytes of memory that a task needs for unpacked digits.
template <class Format>
inline constexpr std::size_t unpacked_bytes =
    std::max(below::unpacked_bytes<Format>, 4 * weight_tiles<Format, 4>::stride);

/// Tasks [begin, end) of the problem. Leaves the tiles as it found them: not in use. `bytes` points
/// to unpacked_bytes<Format> of memory that begin at a cache line.
template <class Format>
void compute(const problem<Format>& p, std::size_t begin, std::size_t end, std::uint8_t* bytes) {
  if (p.tokens() < least_tokens<Format>) return below::compute(p, begin, end, bytes);
  auto* const ring = reinterpret_cast<std::int8_t*>(bytes);
  for (std::size_t i = begin; i < end; ++i) {
    const auto t = p.task(i);
    if (p.tokens() <= tile_tokens)
      for (std::size_t panel = t.panel; panel < t.panel_end; panel += 4)
        columns<4>(p, t, panel, ring);
    else
      for (std::size_t panel = t.panel; panel < t.panel_end; panel += 2)
        columns<2>(p, t, panel, ring);
  }
  _tile_release();
}

/// The functions of the level.
template <class Format>
inline constexpr entry<Format> entry_of{compute<Format>, group_size<Format>, unpacked_bytes<Format>,
                                        below::unpacked_lines<Format>, least_tokens<Format>};

}  // namespace tern::inline TERN_ABI::kernel::amx
TERN_TARGET_END
#endif
