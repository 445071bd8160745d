// Eigen's dense matrices, maps, refs and blocks as matrix-likes, and the library's default owner
// type.
#pragma once

#include <Eigen/Core>

#include "tern/core/huge_pages.hpp"
#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// The default owner: a dense row-major matrix.
template <class T>
using matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Every Eigen expression whose elements are in memory.
template <class M>
  requires std::derived_from<M, Eigen::DenseBase<M>> &&
           ((static_cast<unsigned>(M::Flags) & static_cast<unsigned>(Eigen::DirectAccessBit)) != 0)
struct tensor_traits<M> {
  using scalar = typename M::Scalar;  ///< type of an element

  // Sizes and strides count elements, in either storage order.
  static std::size_t rows(const M& m) { return static_cast<std::size_t>(m.rows()); }
  static std::size_t cols(const M& m) { return static_cast<std::size_t>(m.cols()); }
  static std::size_t row_stride(const M& m) {
    return static_cast<std::size_t>(M::IsRowMajor ? m.outerStride() : m.innerStride());
  }
  static std::size_t col_stride(const M& m) {
    return static_cast<std::size_t>(M::IsRowMajor ? m.innerStride() : m.outerStride());
  }
  /// Address of element (0, 0).
  static const scalar* data(const M& m) { return m.data(); }
  static auto data(M& m) { return m.data(); }

  /// Makes a matrix of zeros, for types that own their memory.
  static M make(std::size_t rows, std::size_t cols)
    requires std::derived_from<M, Eigen::PlainObjectBase<M>>
  {
    M m;
    m.resize(static_cast<Eigen::Index>(rows), static_cast<Eigen::Index>(cols));
    prefer_huge_pages(m.data(), rows * cols * sizeof(scalar));
    m.setZero();
    return m;
  }
};

}  // namespace tern::inline TERN_ABI
