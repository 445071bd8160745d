// Attention of many new tokens over a head of a kv_cache, with the instructions of the CPU,
// whatever flags the translation unit has. All query heads that share the keys and values are
// computed together, so that each tile of positions is converted to floats once for a band.
//
//   vfmadd231ps zmm   latency 4   2/cycle (1/cycle on Zen 4)
// Eight positions and a panel of 32 queries take 16 products, 2 loads and 8 broadcasts for each
// column of the keys; eight queries and 32 columns of the values take the same for each position.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "tern/infer/cache_products.hpp"
#include "tern/infer/kv_cache.hpp"
#include "tern/isa/dispatch_table.hpp"
#include "tern/isa/level.hpp"
#include "tern/isa/registers/avx2.hpp"
#include "tern/isa/registers/avx512.hpp"
#include "tern/isa/target.hpp"
#include "tern/linalg/avx2.hpp"
#include "tern/linalg/avx512.hpp"
#include "tern/linalg/portable.hpp"

namespace tern::inline TERN_ABI::prompt_attention {

/// New tokens of a sequence, for one key/value head, and the memory that they need. Query
/// i * group + g belongs to query head g of token i. The token stands at position start + i, and
/// sees the last `window` positions up to its own, or all of them where `window` is 0.
struct band {
  static constexpr std::size_t widest = 32;         ///< queries and columns are padded to this
  static constexpr std::size_t positions = 64;      ///< most positions of a tile
  static constexpr std::size_t most_queries = 256;  ///< queries of a band, if a token has fewer

  std::size_t rows, group, head_dim;         ///< number of tokens, query heads of each, their width
  std::size_t start, window;                 ///< position of the first token, and what a token sees
  float factor;                              ///< factor of the scores
  float* packed = nullptr;                   ///< the queries in panels
  float* tile = nullptr;                     ///< keys or values of a tile of positions
  float* scores = nullptr;                   ///< scores of a tile of positions, panel after panel
  float* sums = nullptr;                     ///< (queries, padded head_dim), sums of values so far
  float *tops = nullptr, *totals = nullptr;  ///< largest score and sum of weights of each query
  float* corrections = nullptr;  ///< factors of the sums before the tile, one for each query

  /// n rounded up to a multiple of `widest`.
  static constexpr std::size_t padded(std::size_t n) { return (n + widest - 1) / widest * widest; }
  /// Most tokens of a band.
  static constexpr std::size_t most_rows(std::size_t group) {
    return std::max<std::size_t>(1, most_queries / group);
  }
  [[nodiscard]] std::size_t queries() const { return rows * group; }  ///< number of queries

  /// Number of floats that place() divides.
  [[nodiscard]] std::size_t floats() const {
    const std::size_t n = padded(queries()), width = padded(head_dim);
    return n * (head_dim + positions + width + 3) + positions * width;
  }
  /// Places everything in `memory`, which begins at a cache line.
  void place(float* memory) {
    const std::size_t n = padded(queries()), width = padded(head_dim);
    const auto next = [&](std::size_t size) {
      float* const at = memory;
      memory += size;
      return at;
    };
    packed = next(n * head_dim);
    tile = next(positions * width);
    scores = next(n * positions);
    sums = next(n * width);
    tops = next(n);
    totals = next(n);
    corrections = next(n);
  }

  /// A range of numbers.
  struct range {
    std::size_t begin, end;
  };
  /// The positions of a tile, counted from its first one, that any of n queries sees.
  [[nodiscard]] range seen(std::size_t query, std::size_t n, std::size_t first,
                           std::size_t count) const {
    const std::size_t low = start + query / group, high = start + (query + n - 1) / group + 1;
    const std::size_t begin = window != 0 && low + 1 > window ? low + 1 - window : 0;
    return {begin > first ? std::min(begin - first, count) : 0,
            high > first ? std::min(high - first, count) : 0};
  }
  /// The queries that see a position.
  [[nodiscard]] range seeing(std::size_t position) const {
    const std::size_t all = queries();
    return {position > start ? std::min((position - start) * group, all) : 0,
            window == 0 || position + window > start + rows
                ? all
                : (position + window > start ? (position + window - start) * group : 0)};
  }
};

}  // namespace tern::inline TERN_ABI::prompt_attention

namespace tern::inline TERN_ABI::prompt_attention::portable {

struct ops : cache_products::portable::ops {
  static constexpr std::size_t tile_rows = 4;

  /// to[p * width + i] = from[i * line + p] for the elements p < depth of up to `width` lines.
  TERN_INLINE static void pack(const float* from, std::size_t lines, std::size_t line,
                               std::size_t depth, float* to, std::size_t width) {
    detail::portable::pack_panel<detail::portable::ops<float>>(from, lines, line, depth, 1, to,
                                                               width);
  }
};

#include "tern/infer/generic/prompt_attention.inl"

}  // namespace tern::inline TERN_ABI::prompt_attention::portable

#if TERN_X86
TERN_TARGET_BEGIN("avx2,fma,f16c")
namespace tern::inline TERN_ABI::prompt_attention::avx2 {

struct ops : isa::avx2::floats {
  static constexpr std::size_t tile_rows = 4;

  /// to[p * width + i] = from[i * line + p] for the elements p < depth of up to `width` lines.
  TERN_INLINE static void pack(const float* from, std::size_t lines, std::size_t line,
                               std::size_t depth, float* to, std::size_t width) {
    detail::avx2::pack_panel<detail::avx2::ops>(from, lines, line, depth, 1, to, width);
  }
};

#  include "tern/infer/generic/prompt_attention.inl"

}  // namespace tern::inline TERN_ABI::prompt_attention::avx2
TERN_TARGET_END

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl")
namespace tern::inline TERN_ABI::prompt_attention::avx512bw {

struct ops : isa::avx512::floats {
  static constexpr std::size_t tile_rows = 8;

  /// to[p * width + i] = from[i * line + p] for the elements p < depth of up to `width` lines.
  TERN_INLINE static void pack(const float* from, std::size_t lines, std::size_t line,
                               std::size_t depth, float* to, std::size_t width) {
    detail::avx512::pack_panel<detail::avx512::ops>(from, lines, line, depth, 1, to, width);
  }
};

#  include "tern/infer/generic/prompt_attention.inl"

}  // namespace tern::inline TERN_ABI::prompt_attention::avx512bw
TERN_TARGET_END
#endif

namespace tern::inline TERN_ABI::prompt_attention {

/// The functions of generic/prompt_attention.inl, for a cache of elements E. For each tile of
/// positions in ascending order one calls widen() with the keys, score(), widen() with the values
/// and mix(). Then the result of a query is its row of b.sums divided by its element of b.totals.
template <class E>
struct entry {
  /// Takes the queries of a band: those of a token stand one after another in a row of q.
  void (*begin)(const band& b, const float* q, std::size_t q_stride) = nullptr;
  /// Converts up to band::positions rows to floats of padded width.
  void (*widen)(const stored_rows<E>& x, float* to) = nullptr;
  /// Makes the weights for `count` positions from `first` on, whose keys are in b.tile.
  void (*score)(const band& b, std::size_t first, std::size_t count) = nullptr;
  /// Adds the values of these positions, which are in b.tile.
  void (*mix)(const band& b, std::size_t first, std::size_t count) = nullptr;
};

/// The functions of all levels.
// clang-format off
template <class E>
inline constexpr isa::dispatch_table<entry<E>> functions{
    {isa::level::scalar, {portable::begin, portable::widen<E>, portable::score, portable::mix}},
#if TERN_X86
    {isa::level::avx2, {avx2::begin, avx2::widen<E>, avx2::score, avx2::mix}},
    {isa::level::avx512bw,
     {avx512bw::begin, avx512bw::widen<E>, avx512bw::score, avx512bw::mix}},
#endif
};
// clang-format on

}  // namespace tern::inline TERN_ABI::prompt_attention
