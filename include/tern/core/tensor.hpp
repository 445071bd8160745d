// Views of vectors and matrices, and the customisation point for other people's types. Ops take
// `matrix_view`, and any type with `tensor_traits` converts to it implicitly. So an op is compiled
// once per scalar type and works with every matrix type.
#pragma once

#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "tern/core/error.hpp"
#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// Describes a matrix type M of another library. Specialise it for your type with these members:
///   using scalar = float;
///   static std::size_t rows(const M&), cols(const M&), row_stride(const M&), col_stride(const M&);
///   static const scalar* data(const M&);  static scalar* data(M&);
/// Strides count elements. A type that the library may create (an owner) also has
///   static M make(std::size_t rows, std::size_t cols);   // zero-filled
template <class M>
struct tensor_traits;

/// A type for which tensor_traits has the members above. It converts to matrix_view.
template <class M>
concept matrix_like = requires(const std::remove_cvref_t<M>& m) {
  typename tensor_traits<std::remove_cvref_t<M>>::scalar;
  { tensor_traits<std::remove_cvref_t<M>>::rows(m) } -> std::convertible_to<std::size_t>;
  { tensor_traits<std::remove_cvref_t<M>>::cols(m) } -> std::convertible_to<std::size_t>;
  { tensor_traits<std::remove_cvref_t<M>>::row_stride(m) } -> std::convertible_to<std::size_t>;
  { tensor_traits<std::remove_cvref_t<M>>::col_stride(m) } -> std::convertible_to<std::size_t>;
  tensor_traits<std::remove_cvref_t<M>>::data(m);
};

/// A matrix_like that the library may also create, since tensor_traits<M> has `make`.
template <class M>
concept matrix_owner = matrix_like<M> && std::movable<M> && requires(std::size_t n) {
  { tensor_traits<M>::make(n, n) } -> std::same_as<M>;
};

/// Element type of a matrix_like.
template <class M>
using scalar_of = typename tensor_traits<std::remove_cvref_t<M>>::scalar;

/// Non-owning view of `size` elements that are `stride` apart: a row or a column of a matrix, or a
/// plain vector.
template <class T>
struct row_view {
  T* data = nullptr;                 ///< element 0, or null if there is no row
  std::size_t size = 0, stride = 1;  ///< both in elements

  row_view() = default;
  /// Refers to `size_` elements from `data_` on.
  row_view(T* data_, std::size_t size_, std::size_t stride_ = 1)
      : data(data_), size(size_), stride(stride_) {}
  /// Adds const.
  template <class U>
    requires(std::is_const_v<T> && std::same_as<const U, T>)
  row_view(const row_view<U>& r)  // NOLINT: adds const
      : row_view(r.data, r.size, r.stride) {}
  /// Refers to a contiguous range such as std::vector or std::span.
  template <class R>
    requires requires(R& r) {
      { std::data(r) } -> std::convertible_to<T*>;
      { std::size(r) } -> std::convertible_to<std::size_t>;
    }
  row_view(R&& r)  // NOLINT: a parameter type
      : row_view(std::data(r), std::size(r)) {}

  T& operator[](std::size_t i) const { return data[i * stride]; }  ///< element i, not checked
  explicit operator bool() const { return data != nullptr; }       ///< false for a null view
};

/// Non-owning `rows x cols` view with strides in elements. It is cheap to copy, and a const view
/// can still be written through. A null view (data == nullptr) means "not wanted" where an op says
/// so.
template <class T>
struct matrix_view {
  using value_type = std::remove_const_t<T>;  ///< element type

  T* data = nullptr;  ///< element (0, 0), or null if there is no matrix
  std::size_t rows = 0, cols = 0, row_stride = 0, col_stride = 1;  ///< elements

  matrix_view() = default;
  /// Refers to a dense row-major matrix.
  matrix_view(T* data_, std::size_t rows_, std::size_t cols_)
      : matrix_view(data_, rows_, cols_, cols_) {}
  /// Refers to a matrix of any strides.
  matrix_view(T* data_, std::size_t rows_, std::size_t cols_, std::size_t row_stride_,
              std::size_t col_stride_ = 1)
      : data(data_), rows(rows_), cols(cols_), row_stride(row_stride_), col_stride(col_stride_) {}
  /// Adds const.
  template <class U>
    requires(std::is_const_v<T> && std::same_as<const U, T>)
  matrix_view(const matrix_view<U>& m)  // NOLINT: adds const
      : matrix_view(m.data, m.rows, m.cols, m.row_stride, m.col_stride) {}
  /// Refers to any matrix-like of the same scalar type. A const one is accepted only if T is const.
  template <matrix_like M>
    requires requires(M&& m) {
      { tensor_traits<std::remove_cvref_t<M>>::data(m) } -> std::convertible_to<T*>;
    }
  matrix_view(M&& m)  // NOLINT: a parameter type
      : matrix_view(
            tensor_traits<std::remove_cvref_t<M>>::data(m),
            static_cast<std::size_t>(tensor_traits<std::remove_cvref_t<M>>::rows(m)),
            static_cast<std::size_t>(tensor_traits<std::remove_cvref_t<M>>::cols(m)),
            static_cast<std::size_t>(tensor_traits<std::remove_cvref_t<M>>::row_stride(m)),
            static_cast<std::size_t>(tensor_traits<std::remove_cvref_t<M>>::col_stride(m))) {}

  /// Element (r, c), not checked.
  T& operator()(std::size_t r, std::size_t c) const {
    return data[r * row_stride + c * col_stride];
  }
  /// Row r, not checked.
  [[nodiscard]] row_view<T> row(std::size_t r) const {
    return {data + r * row_stride, cols, col_stride};
  }
  /// Column c, not checked.
  [[nodiscard]] row_view<T> col(std::size_t c) const {
    return {data + c * col_stride, rows, row_stride};
  }
  /// The n_rows x n_cols part whose first element is (r, c), not checked.
  [[nodiscard]] matrix_view block(std::size_t r, std::size_t c, std::size_t n_rows,
                                  std::size_t n_cols) const {
    return {data + r * row_stride + c * col_stride, n_rows, n_cols, row_stride, col_stride};
  }
  /// The n whole rows from row r on, not checked.
  [[nodiscard]] matrix_view row_block(std::size_t r, std::size_t n) const {
    return block(r, 0, n, cols);
  }
  /// The n whole columns from column c on, not checked.
  [[nodiscard]] matrix_view col_block(std::size_t c, std::size_t n) const {
    return block(0, c, rows, n);
  }
  /// The transposed view, (cols, rows), of the same memory.
  [[nodiscard]] matrix_view transposed() const {
    return {data, cols, rows, col_stride, row_stride};
  }
  [[nodiscard]] std::size_t size() const { return rows * cols; }  ///< number of elements
  explicit operator bool() const { return data != nullptr; }      ///< false for a null view
};

/// Throws shape_error naming `what` unless m is rows x cols.
template <class T>
void require_shape(const matrix_view<T>& m, std::size_t rows, std::size_t cols,
                   std::string_view what) {
  if (m.rows == rows && m.cols == cols) return;
  throw shape_error(std::string(what) + ": expected " + std::to_string(rows) + " x " +
                    std::to_string(cols) + ", got " + std::to_string(m.rows) + " x " +
                    std::to_string(m.cols));
}

/// The same elements. A dimension of at most one element gets the stride 1, whatever it had, since
/// nothing lies that far apart.
template <class T>
matrix_view<T> with_plain_strides(matrix_view<T> m) {
  if (m.rows <= 1 && m.col_stride != 1) m.row_stride = 1;
  if (m.cols <= 1) m.col_stride = 1;
  return m;
}

/// Copies every element. The matrices may have different strides. Throws shape_error.
template <class T>
void copy_matrix(matrix_view<const T> from, matrix_view<T> to) {
  require_shape(to, from.rows, from.cols, "copy_matrix: to");
  for (std::size_t r = 0; r < from.rows; ++r)
    for (std::size_t c = 0; c < from.cols; ++c) to(r, c) = from(r, c);
}

}  // namespace tern::inline TERN_ABI
