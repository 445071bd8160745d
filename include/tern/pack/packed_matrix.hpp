// Ternary matrices of a few bits a weight, in a layout that no instruction set owns. A format says
// how one block is stored; rows and columns are padded to whole blocks with trits of 0.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tern/core/executor.hpp"
#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// 64 bytes on a cache line of their own: the unit of every format.
struct alignas(64) packed_block {
  std::array<std::uint8_t, 64> bytes{};
};

/// `Format::rows x Format::cols` trits make a block. `pack` reads int8 codes with a row stride,
/// returns nonzero where a code is no trit; `unpack` is its inverse.
template <class Format>
concept pack_format = requires(const std::int8_t* in, std::int8_t* out, std::size_t stride,
                               packed_block& block, const packed_block& packed) {
  { Format::pack(in, stride, block) } -> std::convertible_to<std::uint64_t>;
  Format::unpack(packed, out, stride);
  requires Format::rows > 0 && Format::cols > 0;
};

/// Non-owning: blocks of a panel of Format::rows rows lie one after another along the columns,
/// panel after panel.
template <pack_format Format>
struct packed_view {
  using format = Format;

  const packed_block* data = nullptr;
  std::size_t rows = 0, cols = 0;

  [[nodiscard]] std::size_t panels() const { return (rows + Format::rows - 1) / Format::rows; }
  [[nodiscard]] std::size_t panel_blocks() const {
    return (cols + Format::cols - 1) / Format::cols;
  }
  [[nodiscard]] const packed_block* panel(std::size_t i) const { return data + i * panel_blocks(); }
  [[nodiscard]] std::size_t size_bytes() const {
    return panels() * panel_blocks() * sizeof(packed_block);
  }
};

namespace detail {

/// f(panel, block, first row, first column, rows here, columns here), panels in parallel.
template <class Format, class F>
void for_each_block(const packed_view<Format>& m, executor_ref ex, F f) {
  const std::size_t blocks = m.panel_blocks();
  const std::size_t grain = std::max<std::size_t>(1, 256 / std::max<std::size_t>(blocks, 1));
  ex.parallel_for(m.panels(), grain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t p = begin; p < end; ++p)
      for (std::size_t b = 0; b < blocks; ++b) {
        const std::size_t r = p * Format::rows, c = b * Format::cols;
        f(p * blocks + b, r, c, std::min(Format::rows, m.rows - r),
          std::min(Format::cols, m.cols - c));
      }
  });
}

}  // namespace detail

/// Packs codes of {-1, 0, +1} into memory of the caller: packed_view<Format>{blocks, rows,
/// cols}.size_bytes() of it. Throws config_error (`blocks` is to be packed again) where a code is
/// not -1, 0 or +1.
template <pack_format Format>
packed_view<Format> pack(matrix_view<const std::int8_t> codes, packed_block* blocks,
                         executor_ref ex = {}) {
  const packed_view<Format> view{blocks, codes.rows, codes.cols};
  std::atomic<bool> bad = false;
  detail::for_each_block(
      view, ex,
      [&](std::size_t at, std::size_t r, std::size_t c, std::size_t n_rows, std::size_t n_cols) {
        const auto part = codes.block(r, c, n_rows, n_cols);
        std::uint64_t wrong = 0;
        if (n_rows == Format::rows && n_cols == Format::cols && codes.col_stride == 1) {
          wrong = Format::pack(part.data, part.row_stride, blocks[at]);
        } else {
          std::array<std::int8_t, Format::rows * Format::cols> padded{};
          for (std::size_t i = 0; i < n_rows; ++i)
            for (std::size_t j = 0; j < n_cols; ++j) padded[i * Format::cols + j] = part(i, j);
          wrong = Format::pack(padded.data(), Format::cols, blocks[at]);
        }
        if (wrong != 0) bad.store(true, std::memory_order_relaxed);
      });
  if (bad) throw config_error("pack: a code is not -1, 0 or +1");
  return view;
}

/// Owner; converts to packed_view. Copies and moves like a vector.
template <pack_format Format>
class packed_matrix {
 public:
  using format = Format;

  packed_matrix() = default;
  /// All trits 0.
  packed_matrix(std::size_t rows, std::size_t cols) : rows_(rows), cols_(cols) {
    blocks_.resize(view().size_bytes() / sizeof(packed_block));
    const std::array<std::int8_t, Format::rows * Format::cols> zeros{};
    packed_block zero;
    Format::pack(zeros.data(), Format::cols, zero);
    std::fill(blocks_.begin(), blocks_.end(), zero);
  }
  /// From codes of {-1, 0, +1}.
  explicit packed_matrix(matrix_view<const std::int8_t> codes, executor_ref ex = {})
      : packed_matrix(codes.rows, codes.cols) {
    assign(codes, ex);
  }

  /// Overwrites with codes of the same shape, without allocation. Throws config_error (and leaves
  /// a matrix to be assigned again) where a code is not -1, 0 or +1.
  void assign(matrix_view<const std::int8_t> codes, executor_ref ex = {}) {
    require_shape(codes, rows_, cols_, "packed_matrix: codes");
    pack<Format>(codes, blocks_.data(), ex);
  }

  [[nodiscard]] std::size_t rows() const { return rows_; }
  [[nodiscard]] std::size_t cols() const { return cols_; }
  [[nodiscard]] packed_view<Format> view() const { return {blocks_.data(), rows_, cols_}; }
  operator packed_view<Format>() const { return view(); }  // NOLINT: owners are views too

 private:
  std::vector<packed_block> blocks_;
  std::size_t rows_ = 0, cols_ = 0;
};

/// A packed_view, or what converts to one as packed_matrix does.
template <class W>
concept packed_weights = std::convertible_to<const W&, packed_view<typename W::format>>;

/// Packed trits back to codes of {-1, 0, +1}.
template <pack_format Format>
void unpack(const packed_view<Format>& packed, matrix_view<std::int8_t> codes,
            executor_ref ex = {}) {
  require_shape(codes, packed.rows, packed.cols, "unpack: codes");
  detail::for_each_block(
      packed, ex,
      [&](std::size_t at, std::size_t r, std::size_t c, std::size_t n_rows, std::size_t n_cols) {
        std::array<std::int8_t, Format::rows * Format::cols> block;
        Format::unpack(packed.data[at], block.data(), Format::cols);
        for (std::size_t i = 0; i < n_rows; ++i)
          for (std::size_t j = 0; j < n_cols; ++j)
            codes(r + i, c + j) = block[i * Format::cols + j];
      });
}

}  // namespace tern::inline TERN_ABI
