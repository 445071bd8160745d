// Armadillo's matrices, vectors and contiguous submatrices as matrix-likes. They are column-major,
// so their views have a row stride of 1. Ops that need contiguous rows take the transposed matrix.
#pragma once

#include <armadillo>
#include <concepts>
#include <cstddef>

#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// arma::Mat, and arma::Col and arma::Row, which derive from it.
template <class M>
  requires std::derived_from<M, arma::Mat<typename M::elem_type>>
struct tensor_traits<M> {
  using scalar = typename M::elem_type;

  static std::size_t rows(const M& m) { return m.n_rows; }
  static std::size_t cols(const M& m) { return m.n_cols; }
  static std::size_t row_stride(const M&) { return 1; }
  static std::size_t col_stride(const M& m) { return m.n_rows; }
  static const scalar* data(const M& m) { return m.memptr(); }
  static scalar* data(M& m) { return m.memptr(); }

  static M make(std::size_t rows, std::size_t cols)
    requires std::same_as<M, arma::Mat<scalar>>
  {
    return M(rows, cols, arma::fill::zeros);
  }
};

/// The results of submat, rows, cols, row, col, head, tail and so on. Functions that choose
/// elements by a list of indices return another type, which has no strides and no view.
template <class M>
  requires std::derived_from<M, arma::subview<typename M::elem_type>>
struct tensor_traits<M> {
  using scalar = typename M::elem_type;

  static std::size_t rows(const M& m) { return m.n_rows; }
  static std::size_t cols(const M& m) { return m.n_cols; }
  static std::size_t row_stride(const M&) { return 1; }
  static std::size_t col_stride(const M& m) { return m.m.n_rows; }
  static const scalar* data(const M& m) { return first(m.m.memptr(), m); }
  static scalar* data(M& m) { return first(const_cast<scalar*>(m.m.memptr()), m); }

 private:
  // T is const or not, as the caller says: a subview always refers to its matrix as const.
  template <class T>
  static T* first(T* matrix, const M& m) {
    return matrix + m.aux_row1 + m.aux_col1 * m.m.n_rows;
  }
};

}  // namespace tern::inline TERN_ABI
