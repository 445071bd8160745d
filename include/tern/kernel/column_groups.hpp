// A product cut into groups of columns that share a scale. Activations stand in the layout of the
// kernel, where each group begins with whole lines, and the sums of each start with a number for
// each token. So a group is a problem of its own, and so are all groups together. Most
// weights are one group; weights with a scale for every 64 columns, for instance, are many.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "tern/core/executor.hpp"
#include "tern/core/tensor.hpp"
#include "tern/kernel/problem.hpp"
#include "tern/kernel/token_groups.hpp"

namespace tern::inline TERN_ABI::kernel {

/// Columns of w, padded to those of whole lines.
template <class Format>
std::size_t padded_cols(const packed_view<Format>& w) {
  return w.panel_lines() * Format::cols;
}

/// Sum of the elements, of which there are at most 2^24.
inline std::int32_t row_sum(row_view<const std::int8_t> x) {
  using bytes [[gnu::vector_size(8)]] = std::int8_t;
  using shorts [[gnu::vector_size(16)]] = std::int16_t;
  std::int32_t total = 0;
  std::size_t i = 0;
  while (x.stride == 1 && i + 8 <= x.size) {
    shorts sums{};  // each of up to 256 bytes
    for (const std::size_t end = std::min(x.size - 7, i + 2048); i < end; i += 8) {
      bytes b;
      std::memcpy(&b, x.data + i, sizeof b);
      sums += __builtin_convertvector(b, shorts);
    }
    for (int k = 0; k < 8; ++k) total += sums[k];
  }
  for (; i < x.size; ++i) total += x[i];
  return total;
}

/// The number of columns, padded to whole tiles.
constexpr std::size_t tiled_cols(std::size_t cols) { return (cols + 63) / 64 * 64; }

template <class Format>
class column_groups {
 public:
  /// Bytes of workspace that are enough at any address.
  static std::size_t workspace(const packed_view<Format>& w, matrix_view<const std::int8_t> x) {
    const std::size_t numbers = w.groups() * x.rows,
                      starts = numbers <= 1 ? 0 : numbers * sizeof(std::int32_t) + 3;
    if (x.rows <= 1 && readable(w, x)) return starts;
    // 63 bytes to begin at a cache line; 16 bytes, since kernels may read 16 where a token has 4.
    return starts + 63 + w.groups() * x.rows * tiled_cols(padded_cols(w.group_view(0))) + 16;
  }

  /// `whole` is the problem of all columns but for its `starts`, x (N, K) the activations as the
  /// caller has them, and row_sums (N) their sums.
  /// `tiled` asks for the layout of tile_tokens(). The workspace must live as long as this object.
  column_groups(const problem<Format>& whole, matrix_view<const std::int8_t> x,
                const std::int32_t* row_sums, bool tiled, std::span<std::byte> workspace,
                executor_ref ex)
      : whole_(whole), tiled_(tiled) {
    const packed_view<Format>& w = whole.weights;
    const std::size_t groups = w.groups();
    auto* at = reinterpret_cast<std::int8_t*>(workspace.data());
    std::int32_t* starts = &only_start_;
    if (groups * x.rows > 1) {
      at += -reinterpret_cast<std::uintptr_t>(at) % sizeof *starts;
      starts = reinterpret_cast<std::int32_t*>(at);
      at += groups * x.rows * sizeof *starts;
    }
    whole_.starts = starts;
    for (std::size_t n = 0; groups == 1 && n < x.rows; ++n)
      starts[n] = Format::least_code * row_sums[n];
    if (groups > 1)
      for_each_row(groups, x.rows * w.scale_cols, ex, [&](std::size_t i) {
        const auto part = x.col_block(i * w.scale_cols, w.group_view(i).cols);
        for (std::size_t n = 0; n < x.rows; ++n)
          starts[i * x.rows + n] = Format::least_code * row_sum(part.row(n));
      });
    if (!whole.grouped && !tiled && readable(w, x)) {
      group_cols_ = w.scale_cols;
      return;
    }
    whole_.x = at += -reinterpret_cast<std::uintptr_t>(at) % 64;
    group_cols_ = copied_cols(w.group_view(0));
    whole_.x_stride = (groups - 1) * group_cols_ + copied_cols(w.group_view(groups - 1));
    if (group_cols_ == w.scale_cols) {  // no group but the last one is padded
      copy(x, {at, whole_.x_stride, 0, whole_.x_stride}, ex);
      return;
    }
    for (std::size_t i = 0; i < groups; ++i)
      copy(x.col_block(i * w.scale_cols, w.group_view(i).cols),
           {at, whole_.x_stride, i * group_cols_, copied_cols(w.group_view(i))}, ex);
  }

  // Problems point into the object.
  column_groups(const column_groups&) = delete;
  column_groups& operator=(const column_groups&) = delete;

  /// Number of groups.
  [[nodiscard]] std::size_t size() const { return whole_.weights.groups(); }
  /// The problem of group i of the columns of w.
  [[nodiscard]] problem<Format> one(const packed_view<Format>& w, std::size_t i) const {
    problem<Format> p = all(w.group_view(i));
    p.x_first = i * group_cols_;
    p.starts += i * whole_.starts_step;
    return p;
  }
  /// The problem of all columns of w.
  [[nodiscard]] problem<Format> all(const packed_view<Format>& w) const {
    problem<Format> p = whole_;
    p.weights = w;
    return p;
  }

 private:
  /// Whether kernels can read the rows of x as they are: they are dense, and the columns of each
  /// group fill whole lines.
  static bool readable(const packed_view<Format>& w, matrix_view<const std::int8_t> x) {
    return x.col_stride == 1 && w.cols % Format::cols == 0 &&
           (w.scale_cols >= w.cols || w.scale_cols % Format::cols == 0);
  }

  /// Columns of a token in the copy of a group.
  [[nodiscard]] std::size_t copied_cols(const packed_view<Format>& group) const {
    return tiled_ ? tiled_cols(padded_cols(group)) : padded_cols(group);
  }

  void copy(matrix_view<const std::int8_t> x, const token_columns& to, executor_ref ex) const {
    if (tiled_)
      tile_tokens(x, whole_.parts, to, ex);
    else if (whole_.grouped)
      group_tokens(x, whole_.parts, to, ex);
    else
      pad_rows(x, to, ex);
  }

  problem<Format> whole_;
  bool tiled_;
  std::int32_t only_start_ = 0;
  std::size_t group_cols_ = 0;  // columns of x from one group to the next
};

}  // namespace tern::inline TERN_ABI::kernel
