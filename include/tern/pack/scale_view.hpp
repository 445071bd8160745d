// The scales of a quantized matrix: one for each block of weights. They lie panel after panel, as
// packed lines do, so that a product with one token reads them in the order of memory.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <type_traits>

#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// A view of scales: a row for each row of the weights, or for several of them, and a column for
/// each group of columns. 16 rows are a panel. A view of any matrix converts to it.
template <class T>
struct scale_view {
  static constexpr std::size_t panel_rows = 16;  ///< rows of a panel, as in a packed line

  T* data = nullptr;                            ///< scale (0, 0)
  std::size_t rows = 0, cols = 0;               ///< shape
  std::size_t panel_stride = 0;                 ///< elements from one panel to the next
  std::size_t row_stride = 1, col_stride = 16;  ///< elements, within a panel

  /// Panels that follow each other, each group after group. They take storage() elements.
  static scale_view panels(T* data, std::size_t rows, std::size_t cols) {
    scale_view s;
    s.data = data;
    s.rows = rows;
    s.cols = cols;
    s.col_stride = std::min(rows, panel_rows);
    s.panel_stride = panel_rows * cols;
    return s;
  }

  scale_view() = default;
  /// Refers to a dense row-major matrix.
  scale_view(T* data_, std::size_t rows_, std::size_t cols_)
      : scale_view(matrix_view<T>(data_, rows_, cols_)) {}
  /// Refers to the elements of any matrix.
  template <class M>
    requires std::convertible_to<M, matrix_view<T>>
  scale_view(M&& matrix)  // NOLINT: a parameter type
      : scale_view(strided(matrix)) {}
  /// Adds const.
  template <class U>
    requires(std::is_const_v<T> && std::same_as<const U, T>)
  scale_view(const scale_view<U>& s)  // NOLINT: adds const
      : data(s.data),
        rows(s.rows),
        cols(s.cols),
        panel_stride(s.panel_stride),
        row_stride(s.row_stride),
        col_stride(s.col_stride) {}

  /// Scale (r, c), not checked.
  T& operator()(std::size_t r, std::size_t c) const { return data[offset(r, c)]; }
  /// Number of scales.
  [[nodiscard]] std::size_t size() const { return rows * cols; }
  /// Elements of memory from the first scale to the last one. Where there are several groups, the
  /// last one of several panels may have unused elements between its groups.
  [[nodiscard]] std::size_t storage() const {
    return size() == 0 ? 0 : offset(rows - 1, cols - 1) + 1;
  }
  /// Whether the scales of n rows from `row` on lie side by side.
  [[nodiscard]] bool side_by_side(std::size_t row, std::size_t n) const {
    return row_stride == 1 && (panel_stride == panel_rows || row % panel_rows + n <= panel_rows);
  }

 private:
  static scale_view strided(matrix_view<T> m) {
    scale_view s;
    s.data = m.data;
    s.rows = m.rows;
    s.cols = m.cols;
    s.panel_stride = panel_rows * m.row_stride;
    s.row_stride = m.row_stride;
    s.col_stride = m.col_stride;
    return s;
  }
  [[nodiscard]] std::size_t offset(std::size_t r, std::size_t c) const {
    return r / panel_rows * panel_stride + r % panel_rows * row_stride + c * col_stride;
  }
};

/// Copies scales. Throws shape_error.
template <class T>
void copy_scales(scale_view<const T> from, scale_view<T> to) {
  require_size(from.rows, to.rows, "scales: rows");
  require_size(from.cols, to.cols, "scales: columns");
  for (std::size_t r = 0; r < to.rows; ++r)
    for (std::size_t c = 0; c < to.cols; ++c) to(r, c) = from(r, c);
}

}  // namespace tern::inline TERN_ABI
