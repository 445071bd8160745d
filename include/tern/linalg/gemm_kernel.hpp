// A matrix product of one thread, as an instruction-set level offers it.
#pragma once

#include <cstddef>

#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI::detail {

/// c = alpha a b, or c += alpha a b. c is row-major, a and b have either order.
template <class T>
struct gemm_kernel {
  /// `buffer` has `buffer_size` elements and begins at a cache line.
  void (*multiply)(T alpha, matrix_view<const T> a, matrix_view<const T> b, matrix_view<T> c,
                   bool accumulate, T* buffer) = nullptr;
  std::size_t buffer_size = 0;  ///< elements
};

}  // namespace tern::inline TERN_ABI::detail
