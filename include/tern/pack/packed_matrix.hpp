// Matrices of a few bits a weight, ternary ones first of all, in a layout that no instruction set
// owns. A format says how one block is stored; rows and columns are padded to whole blocks with
// codes of 0.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tern/core/executor.hpp"
#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// 64 bytes on a cache line of their own: the unit of every format.
struct alignas(64) packed_block {
  std::array<std::uint8_t, 64> bytes{};  ///< as the format has them
};

/// `Format::rows x Format::cols` codes make a block. `pack` reads int8 codes with a row stride,
/// returns nonzero where one is not within [least_code, least_code + max_digit]; `unpack` is its
/// inverse.
template <class Format>
concept pack_format = requires(const std::int8_t* in, std::int8_t* out, std::size_t stride,
                               packed_block& block, const packed_block& packed) {
  { Format::pack(in, stride, block) } -> std::convertible_to<std::uint64_t>;
  Format::unpack(packed, out, stride);
  requires Format::rows > 0 && Format::cols > 0;
  requires Format::least_code <= 0 && Format::max_digit > 0;
};

/// Non-owning: blocks of a panel of Format::rows rows lie one after another along the columns,
/// panel after panel. Columns come in runs, and each run begins a block, so that a run can be
/// multiplied alone: that is where weights have one scale to so many columns.
template <pack_format Format>
struct packed_view {
  using format = Format;  ///< of the blocks

  const packed_block* data = nullptr;  ///< the first block of panel 0
  std::size_t rows = 0, cols = 0;      ///< in codes
  std::size_t run = cols;  ///< columns of a run, at least 1 where there are any; the last: the rest
  std::size_t panel_stride = panel_blocks();  ///< blocks from one panel to the next

  /// Of Format::rows rows, the last perhaps padded.
  [[nodiscard]] std::size_t panels() const { return (rows + Format::rows - 1) / Format::rows; }
  /// Of columns.
  [[nodiscard]] std::size_t runs() const { return run >= cols ? cols != 0 : (cols - 1) / run + 1; }
  /// Blocks of a panel.
  [[nodiscard]] std::size_t panel_blocks() const {
    const std::size_t before = run >= cols ? 0 : (cols - 1) / run;  // runs before the last
    return before * run_blocks() + (cols - before * run + Format::cols - 1) / Format::cols;
  }
  /// Its first block.
  [[nodiscard]] const packed_block* panel(std::size_t i) const { return data + i * panel_stride; }
  /// The columns of run i as a matrix of one run.
  [[nodiscard]] packed_view run_view(std::size_t i) const {
    const std::size_t n = std::min(run, cols - i * run);
    return {data + i * run_blocks(), rows, n, n, panel_stride};
  }
  /// Of all panels.
  [[nodiscard]] std::size_t size_bytes() const {
    return panels() * panel_stride * sizeof(packed_block);
  }

 private:
  /// Blocks of a whole run in a panel.
  [[nodiscard]] std::size_t run_blocks() const { return (run - 1) / Format::cols + 1; }
};

namespace detail {

/// f(index of the block, first row, first column, rows here, columns here), panels in parallel.
template <class Format, class F>
void for_each_block(const packed_view<Format>& m, executor_ref ex, F f) {
  const std::size_t blocks = m.panel_blocks();
  const std::size_t grain = std::max<std::size_t>(1, 256 / std::max<std::size_t>(blocks, 1));
  ex.parallel_for(m.panels(), grain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t p = begin; p < end; ++p) {
      const std::size_t r = p * Format::rows,
                        n_rows = std::min<std::size_t>(Format::rows, m.rows - r);
      std::size_t at = p * blocks;
      for (std::size_t run = 0; run < m.cols; run += m.run) {
        const std::size_t run_end = std::min(m.cols, run + m.run);
        for (std::size_t c = run; c < run_end; c += Format::cols, ++at)
          f(at, r, c, n_rows, std::min<std::size_t>(Format::cols, run_end - c));
      }
    }
  });
}

}  // namespace detail

/// Packs codes of {-1, 0, +1} in runs of `run` columns into memory of the caller:
/// packed_view<Format>{blocks, rows, cols, run}.size_bytes() of it. Throws config_error (`blocks`
/// is to be packed again) where a code is none of the format's.
template <pack_format Format>
packed_view<Format> pack(matrix_view<const std::int8_t> codes, std::size_t run,
                         packed_block* blocks, executor_ref ex = {}) {
  const packed_view<Format> view{blocks, codes.rows, codes.cols, run};
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
  if (bad)
    throw config_error("pack: a code is not one of " + std::to_string(Format::least_code) + " to " +
                       std::to_string(Format::least_code + Format::max_digit));
  return view;
}

/// Owner; converts to packed_view. Copies and moves like a vector.
template <pack_format Format>
class packed_matrix {
 public:
  using format = Format;  ///< of the blocks

  packed_matrix() = default;
  /// All trits 0.
  packed_matrix(std::size_t rows, std::size_t cols) : packed_matrix(rows, cols, cols) {}
  /// The same in runs of `run` columns. Throws config_error where that is 0.
  packed_matrix(std::size_t rows, std::size_t cols, std::size_t run)
      : rows_(rows), cols_(cols), run_(run) {
    if (run == 0 && cols != 0) throw config_error("packed_matrix: runs of no columns");
    blocks_.resize(view().size_bytes() / sizeof(packed_block));
    const std::array<std::int8_t, Format::rows * Format::cols> zeros{};
    packed_block zero;
    Format::pack(zeros.data(), Format::cols, zero);
    std::fill(blocks_.begin(), blocks_.end(), zero);
  }
  /// From codes of {-1, 0, +1}.
  explicit packed_matrix(matrix_view<const std::int8_t> codes, executor_ref ex = {})
      : packed_matrix(codes, codes.cols, ex) {}
  /// The same in runs of `run` columns. Throws config_error where that is 0.
  packed_matrix(matrix_view<const std::int8_t> codes, std::size_t run, executor_ref ex = {})
      : packed_matrix(codes.rows, codes.cols, run) {
    assign(codes, ex);
  }

  /// Overwrites with codes of the same shape, without allocation. Throws config_error (and leaves
  /// a matrix to be assigned again) where a code is none of the format's.
  void assign(matrix_view<const std::int8_t> codes, executor_ref ex = {}) {
    require_shape(codes, rows_, cols_, "packed_matrix: codes");
    pack<Format>(codes, run_, blocks_.data(), ex);
  }

  [[nodiscard]] std::size_t rows() const { return rows_; }  ///< in codes
  [[nodiscard]] std::size_t cols() const { return cols_; }  ///< in codes
  /// Of all of it.
  [[nodiscard]] packed_view<Format> view() const { return {blocks_.data(), rows_, cols_, run_}; }
  /// The same.
  operator packed_view<Format>() const { return view(); }  // NOLINT: owners are views too

 private:
  std::vector<packed_block> blocks_;
  std::size_t rows_ = 0, cols_ = 0, run_ = 0;
};

/// A packed_view, or what converts to one as packed_matrix does.
template <class W>
concept packed_weights = std::convertible_to<const W&, packed_view<typename W::format>>;

namespace detail {

/// f(row, column, trit) for all of them.
template <class Format, class F>
void for_each_trit(const packed_view<Format>& packed, executor_ref ex, F f) {
  for_each_block(
      packed, ex,
      [&](std::size_t at, std::size_t r, std::size_t c, std::size_t n_rows, std::size_t n_cols) {
        std::array<std::int8_t, Format::rows * Format::cols> block;
        Format::unpack(packed.data[at], block.data(), Format::cols);
        for (std::size_t i = 0; i < n_rows; ++i)
          for (std::size_t j = 0; j < n_cols; ++j) f(r + i, c + j, block[i * Format::cols + j]);
      });
}

}  // namespace detail

/// Packed trits back to codes of {-1, 0, +1}.
template <pack_format Format>
void unpack(const packed_view<Format>& packed, matrix_view<std::int8_t> codes,
            executor_ref ex = {}) {
  require_shape(codes, packed.rows, packed.cols, "unpack: codes");
  detail::for_each_trit(
      packed, ex, [&](std::size_t r, std::size_t c, std::int8_t trit) { codes(r, c) = trit; });
}

}  // namespace tern::inline TERN_ABI
