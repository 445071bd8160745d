// The three layouts of activations that kernels read: rows, padded to the columns of whole lines;
// groups of tokens that are interleaved by 4 columns; and tiles, groups interleaved by 64 columns.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tern/core/executor.hpp"
#include "tern/core/tensor.hpp"
#include "tern/kernel/problem.hpp"

namespace tern::inline TERN_ABI::kernel {

/// Copies columns [first, first + n) of a token, with zeros past its last column.
inline void copy_columns(row_view<const std::int8_t> x, std::size_t first, std::size_t n,
                         std::int8_t* to) {
  const std::size_t here = first < x.size ? std::min(n, x.size - first) : 0;
  if (x.stride == 1)
    std::memcpy(to, x.data + first, here);
  else
    for (std::size_t i = 0; i < here; ++i) to[i] = x[first + i];
  std::memset(to + here, 0, n - here);
}

/// Where columns of tokens are copied to.
struct token_columns {
  std::int8_t* to;
  std::size_t stride;       ///< bytes of a token
  std::size_t first, cols;  ///< the columns that the copy fills, of `stride` in all
};

/// Copies the rows of x to rows.
inline void pad_rows(matrix_view<const std::int8_t> x, const token_columns& t, executor_ref ex) {
  for_each_row(x.rows, t.cols, ex, [&](std::size_t r) {
    copy_columns(x.row(r), 0, t.cols, t.to + r * t.stride + t.first);
  });
}

/// Copies columns [first, cols) of a token to its place in a group of n tokens. `to` is the place
/// of the token's first column.
inline void group_one(row_view<const std::int8_t> x, std::int8_t* to, std::size_t n,
                      std::size_t first, std::size_t cols) {
  std::size_t c = first;
  for (; x.stride == 1 && c + 16 <= x.size; c += 16) {
    std::array<std::int32_t, 4> fours;
    std::memcpy(&fours, x.data + c, 16);
    for (std::size_t i = 0; i < 4; ++i) std::memcpy(to + (c + 4 * i) * n, &fours[i], 4);
  }
  for (; c < cols; c += 4) {
    std::array<std::int8_t, 4> four{};
    for (std::size_t i = 0; i < 4 && c + i < x.size; ++i) four[i] = x[c + i];
    std::memcpy(to + c * n, &four, 4);
  }
}

/// Copies the first `cols` columns, a multiple of 16, of four dense tokens to their places in a
/// group of n tokens, by 4 x 4 transpositions.
inline void group_four(const std::int8_t* x, std::size_t stride, std::int8_t* to, std::size_t n,
                       std::size_t cols) {
  using fours [[gnu::vector_size(16)]] = std::int32_t;
  const auto load = [](const std::int8_t* from) {
    fours f;
    std::memcpy(&f, from, sizeof f);
    return f;
  };
  for (std::size_t c = 0; c < cols; c += 16, x += 16) {
    const fours r0 = load(x), r1 = load(x + stride), r2 = load(x + 2 * stride),
                r3 = load(x + 3 * stride);
    const fours a = __builtin_shufflevector(r0, r1, 0, 4, 1, 5),
                b = __builtin_shufflevector(r2, r3, 0, 4, 1, 5),
                d = __builtin_shufflevector(r0, r1, 2, 6, 3, 7),
                e = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
    const std::array<fours, 4> turned{
        __builtin_shufflevector(a, b, 0, 1, 4, 5), __builtin_shufflevector(a, b, 2, 3, 6, 7),
        __builtin_shufflevector(d, e, 0, 1, 4, 5), __builtin_shufflevector(d, e, 2, 3, 6, 7)};
    for (std::size_t i = 0; i < 4; ++i) std::memcpy(to + (c + 4 * i) * n, &turned[i], 16);
  }
}

/// Makes all groups: four columns of each token of a group, one token after the other, then the
/// next four columns.
inline void group_tokens(matrix_view<const std::int8_t> x, const token_partition& parts,
                         const token_columns& to, executor_ref ex) {
  for_each_row(parts.groups, parts.size * to.cols, ex, [&](std::size_t g) {
    const std::size_t first = parts.first(g), n = parts.first(g + 1) - first;
    std::int8_t* const at = to.to + first * to.stride + n * to.first;
    const std::size_t dense = x.col_stride == 1 ? x.cols / 16 * 16 : 0, fours = n / 4 * 4;
    for (std::size_t t = 0; t < fours; t += 4)
      group_four(x.row(first + t).data, x.row_stride, at + 4 * t, n, dense);
    for (std::size_t t = 0; t < n; ++t)
      group_one(x.row(first + t), at + 4 * t, n, t < fours ? dense : 0, to.cols);
  });
}

/// Makes all groups as tiles: 64 columns of each token of a group, one token after the other, then
/// the next 64 columns. Numbers of columns are multiples of 64.
inline void tile_tokens(matrix_view<const std::int8_t> x, const token_partition& parts,
                        const token_columns& to, executor_ref ex) {
  constexpr std::size_t line = 64;
  for_each_row(parts.groups, parts.size * to.cols, ex, [&](std::size_t g) {
    const std::size_t first = parts.first(g), n = parts.first(g + 1) - first;
    for (std::size_t t = 0; t < n; ++t) {
      std::int8_t* at = to.to + first * to.stride + n * to.first + t * line;
      for (std::size_t c = 0; c < to.cols; c += line, at += n * line)
        copy_columns(x.row(first + t), c, line, at);
    }
  });
}

}  // namespace tern::inline TERN_ABI::kernel
