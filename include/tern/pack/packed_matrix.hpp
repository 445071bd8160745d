// Matrices whose weights have a few bits each, above all ternary ones, in a layout that suits every
// instruction set. A format says how a line of 64 bytes is stored. Rows and columns are padded to
// whole lines with codes of 0.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "tern/core/byte_order.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// The unit of every format: 64 bytes that fill a cache line.
struct alignas(64) packed_line {
  std::array<std::uint8_t, 64> bytes{};  ///< codes in the layout of the format
};

/// A format of lines with Format::rows x Format::cols codes. `pack` reads int8 codes with a row
/// stride and returns nonzero where a code is not within [least_code, least_code + max_digit];
/// `unpack` is its inverse.
template <class Format>
concept pack_format = requires(const std::int8_t* in, std::int8_t* out, std::size_t stride,
                               packed_line& line, const packed_line& packed) {
  { Format::pack(in, stride, line) } -> std::convertible_to<std::uint64_t>;
  Format::unpack(packed, out, stride);
  requires Format::rows > 0 && Format::cols > 0;
  requires Format::least_code <= 0 && Format::max_digit > 0;
};

/// A view of a packed matrix. Format::rows rows make a panel; the lines of a panel follow each
/// other along the columns, and panels follow each other. Columns are cut into groups that share a
/// scale. Each group begins a line, so that it can be multiplied alone.
template <pack_format Format>
struct packed_view {
  using format = Format;  ///< format of the lines

  const packed_line* data = nullptr;  ///< the first line of panel 0
  std::size_t rows = 0, cols = 0;     ///< in codes
  /// Columns that share a scale, at least 1 where there are columns; the last group has the rest.
  std::size_t scale_cols = cols;
  std::size_t panel_stride = panel_lines();  ///< lines from one panel to the next

  /// Number of panels; the last one may be padded.
  [[nodiscard]] std::size_t panels() const { return (rows + Format::rows - 1) / Format::rows; }
  /// Number of groups of columns.
  [[nodiscard]] std::size_t groups() const {
    return scale_cols >= cols ? cols != 0 : (cols - 1) / scale_cols + 1;
  }
  /// Number of lines of a panel.
  [[nodiscard]] std::size_t panel_lines() const {
    // The number of groups before the last one.
    const std::size_t before = scale_cols >= cols ? 0 : (cols - 1) / scale_cols;
    return before * group_lines() + (cols - before * scale_cols + Format::cols - 1) / Format::cols;
  }
  /// The first line of panel i.
  [[nodiscard]] const packed_line* panel(std::size_t i) const { return data + i * panel_stride; }
  /// The columns of group i, as a matrix of one group.
  [[nodiscard]] packed_view group_view(std::size_t i) const {
    const std::size_t n = std::min(scale_cols, cols - i * scale_cols);
    return {data + i * group_lines(), rows, n, n, panel_stride};
  }
  /// Lines of a whole group in a panel.
  [[nodiscard]] std::size_t group_lines() const { return (scale_cols - 1) / Format::cols + 1; }
  /// Bytes of all panels.
  [[nodiscard]] std::size_t size_bytes() const {
    return panels() * panel_stride * sizeof(packed_line);
  }
};

namespace detail {

/// Calls f(index of the line, its first row and column, its number of rows and columns) for every
/// line; panels run in parallel.
template <class Format, class F>
void for_each_packed_line(const packed_view<Format>& m, executor_ref ex, F f) {
  const std::size_t lines = m.panel_lines();
  const std::size_t grain = std::max<std::size_t>(1, 256 / std::max<std::size_t>(lines, 1));
  ex.parallel_for(m.panels(), grain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t p = begin; p < end; ++p) {
      const std::size_t r = p * Format::rows,
                        n_rows = std::min<std::size_t>(Format::rows, m.rows - r);
      std::size_t at = p * lines;
      for (std::size_t group = 0; group < m.cols; group += m.scale_cols) {
        const std::size_t group_end = std::min(m.cols, group + m.scale_cols);
        for (std::size_t c = group; c < group_end; c += Format::cols, ++at)
          f(at, r, c, n_rows, std::min<std::size_t>(Format::cols, group_end - c));
      }
    }
  });
}

/// Writes the transpose of 8 x 8 codes. A row is a word of 8 bytes; blocks of 4, 2 and 1 bytes are
/// exchanged between the words.
inline void transpose_8x8(const std::int8_t* from, std::size_t stride, std::int8_t* to,
                          std::size_t to_stride) {
  std::array<std::uint64_t, 8> words;
  for (std::size_t i = 0; i < 8; ++i) {
    std::memcpy(&words[i], from + i * stride, 8);
    words[i] = little_endian(words[i]);
  }
  const auto exchange = [&](std::size_t distance, std::uint64_t low) {
    for (std::size_t i = 0; i < 8; ++i) {
      if ((i & distance) != 0) continue;
      std::uint64_t &a = words[i], &b = words[i + distance];
      const std::uint64_t t = (a >> 8 * distance ^ b) & low;
      b ^= t;
      a ^= t << 8 * distance;
    }
  };
  exchange(4, 0x00000000ffffffffu);
  exchange(2, 0x0000ffff0000ffffu);
  exchange(1, 0x00ff00ff00ff00ffu);
  for (std::size_t i = 0; i < 8; ++i) {
    words[i] = little_endian(words[i]);
    std::memcpy(to + i * to_stride, &words[i], 8);
  }
}

/// Copies the codes of a line to row-major order, with 0 where the matrix has ended.
template <class Format>
void copy_line(matrix_view<const std::int8_t> codes, std::int8_t* to) {
  if (codes.rows == Format::rows && codes.cols == Format::cols && codes.row_stride == 1 &&
      Format::rows % 8 == 0 && Format::cols % 8 == 0) {
    for (std::size_t i = 0; i < Format::rows; i += 8)
      for (std::size_t j = 0; j < Format::cols; j += 8)
        transpose_8x8(&codes(i, j), codes.col_stride, to + i * Format::cols + j, Format::cols);
    return;
  }
  std::fill_n(to, Format::rows * Format::cols, std::int8_t{0});
  for (std::size_t i = 0; i < codes.rows; ++i)
    for (std::size_t j = 0; j < codes.cols; ++j) to[i * Format::cols + j] = codes(i, j);
}

}  // namespace detail

/// Packs codes, in groups of `scale_cols` columns, into the caller's memory of
/// packed_view<Format>{lines, rows, cols, scale_cols}.size_bytes() bytes. Throws config_error
/// where the format has no such code; then `lines` hold nothing of use.
template <pack_format Format>
packed_view<Format> pack(matrix_view<const std::int8_t> codes, std::size_t scale_cols,
                         packed_line* lines, executor_ref ex = {}) {
  const packed_view<Format> view{lines, codes.rows, codes.cols, scale_cols};
  std::atomic<bool> bad = false;
  detail::for_each_packed_line(
      view, ex,
      [&](std::size_t at, std::size_t r, std::size_t c, std::size_t n_rows, std::size_t n_cols) {
        const auto part = codes.block(r, c, n_rows, n_cols);
        std::uint64_t wrong = 0;
        if (n_rows == Format::rows && n_cols == Format::cols && codes.col_stride == 1) {
          wrong = Format::pack(part.data, part.row_stride, lines[at]);
        } else {
          std::array<std::int8_t, Format::rows * Format::cols> line;
          detail::copy_line<Format>(part, line.data());
          wrong = Format::pack(line.data(), Format::cols, lines[at]);
        }
        if (wrong != 0) bad.store(true, std::memory_order_relaxed);
      });
  if (bad)
    throw config_error("pack: a code is not one of " + std::to_string(Format::least_code) + " to " +
                       std::to_string(Format::least_code + Format::max_digit));
  return view;
}

/// Owns a packed matrix and converts to packed_view. It copies and moves like a vector.
template <pack_format Format>
class packed_matrix {
 public:
  using format = Format;  ///< format of the lines

  packed_matrix() = default;
  /// All codes are 0.
  packed_matrix(std::size_t rows, std::size_t cols) : packed_matrix(rows, cols, cols) {}
  /// All codes are 0, in groups of `scale_cols` columns. Throws config_error where `scale_cols` is
  /// 0.
  packed_matrix(std::size_t rows, std::size_t cols, std::size_t scale_cols)
      : rows_(rows), cols_(cols), scale_cols_(scale_cols) {
    if (scale_cols == 0 && cols != 0) throw config_error("packed_matrix: groups of no columns");
    lines_.resize(view().size_bytes() / sizeof(packed_line));
    const std::array<std::int8_t, Format::rows * Format::cols> zeros{};
    packed_line zero;
    Format::pack(zeros.data(), Format::cols, zero);
    std::fill(lines_.begin(), lines_.end(), zero);
  }
  /// Packs codes of the format.
  explicit packed_matrix(matrix_view<const std::int8_t> codes, executor_ref ex = {})
      : packed_matrix(codes, codes.cols, ex) {}
  /// Packs codes in groups of `scale_cols` columns. Throws config_error where `scale_cols` is 0.
  packed_matrix(matrix_view<const std::int8_t> codes, std::size_t scale_cols, executor_ref ex = {})
      : packed_matrix(codes.rows, codes.cols, scale_cols) {
    assign(codes, ex);
  }

  /// Packs codes of the same shape over the present ones, without allocation. Throws config_error
  /// where the format has no such code; then the matrix must be assigned again.
  void assign(matrix_view<const std::int8_t> codes, executor_ref ex = {}) {
    require_shape(codes, rows_, cols_, "packed_matrix: codes");
    pack<Format>(codes, scale_cols_, lines_.data(), ex);
  }

  [[nodiscard]] std::size_t rows() const { return rows_; }  ///< number of rows, in codes
  [[nodiscard]] std::size_t cols() const { return cols_; }  ///< number of columns, in codes
  /// A view of the whole matrix.
  [[nodiscard]] packed_view<Format> view() const {
    return {lines_.data(), rows_, cols_, scale_cols_};
  }
  /// The same.
  operator packed_view<Format>() const { return view(); }  // NOLINT: owners are views too

 private:
  std::vector<packed_line> lines_;
  std::size_t rows_ = 0, cols_ = 0, scale_cols_ = 0;
};

/// A packed_view, or a type that converts to one, as packed_matrix does.
template <class W>
concept packed_weights = std::convertible_to<const W&, packed_view<typename W::format>>;

namespace detail {

/// Calls f(row, column, code) for every code.
template <class Format, class F>
void for_each_trit(const packed_view<Format>& packed, executor_ref ex, F f) {
  for_each_packed_line(
      packed, ex,
      [&](std::size_t at, std::size_t r, std::size_t c, std::size_t n_rows, std::size_t n_cols) {
        std::array<std::int8_t, Format::rows * Format::cols> line;
        Format::unpack(packed.data[at], line.data(), Format::cols);
        for (std::size_t i = 0; i < n_rows; ++i)
          for (std::size_t j = 0; j < n_cols; ++j) f(r + i, c + j, line[i * Format::cols + j]);
      });
}

}  // namespace detail

/// Unpacks to codes. Throws shape_error.
template <pack_format Format>
void unpack(const packed_view<Format>& packed, matrix_view<std::int8_t> codes,
            executor_ref ex = {}) {
  require_shape(codes, packed.rows, packed.cols, "unpack: codes");
  detail::for_each_trit(
      packed, ex, [&](std::size_t r, std::size_t c, std::int8_t trit) { codes(r, c) = trit; });
}

}  // namespace tern::inline TERN_ABI
