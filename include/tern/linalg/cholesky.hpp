// Cholesky factorisation A = L L^T, and products with the inverses of L and L^T. Blocks of columns
// are factorised one after another, and the rest is dense products on the executor. Eigen's
// factorisation would take 210 KB of a thread's stack and use a single thread.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "tern/core/executor.hpp"
#include "tern/core/is_finite.hpp"
#include "tern/core/simd.hpp"
#include "tern/linalg/gemm.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

inline constexpr std::size_t cholesky_block = 64;  // columns
inline constexpr std::size_t solved_rows = 64;     // rows of a right-hand side for each task

/// x <- x L^-T for one row x.
template <class T>
void forward_substitution(matrix_view<const T> l, row_view<T> x) {
  for (std::size_t i = 0; i < x.size; ++i) {
    const row_view<const T> known(x.data, i), factors(l.row(i).data, i);
    x[i] = (x[i] - simd::dot(known, factors)) / l(i, i);
  }
}

/// x <- x L^-1 for one row x.
template <class T>
void backward_substitution(matrix_view<const T> l, row_view<T> x) {
  for (std::size_t i = x.size; i-- > 0;) {
    x[i] /= l(i, i);
    simd::axpy<T>(-x[i], {l.row(i).data, i}, {x.data, i});
  }
}

}  // namespace detail

/// b <- b L^-T, which solves X L^T = B. l: (k, k), whose part above the diagonal is not read; b:
/// (n, k). Rows of both are contiguous. Throws shape_error.
template <class T>
void multiply_by_inverse_transposed(matrix_view<const T> l, matrix_view<T> b,
                                    executor_ref ex = {}) {
  require_shape(l, b.cols, b.cols, "multiply_by_inverse_transposed: l");
  ex.parallel_for(b.rows, detail::solved_rows, [&](std::size_t first, std::size_t last) {
    const matrix_view<T> x = b.row_block(first, last - first);
    for (std::size_t c = 0; c < x.cols; c += detail::cholesky_block) {
      const std::size_t n = std::min(detail::cholesky_block, x.cols - c);
      const matrix_view<T> part = x.col_block(c, n);
      if (c > 0) gemm<T>(T(-1), x.col_block(0, c), l.block(c, 0, n, c).transposed(), part, true);
      for (std::size_t r = 0; r < x.rows; ++r)
        detail::forward_substitution<T>(l.block(c, c, n, n), part.row(r));
    }
  });
}

/// b <- b L^-1, which solves X L = B. The operands are as above. Throws shape_error.
template <class T>
void multiply_by_inverse(matrix_view<const T> l, matrix_view<T> b, executor_ref ex = {}) {
  require_shape(l, b.cols, b.cols, "multiply_by_inverse: l");
  ex.parallel_for(b.rows, detail::solved_rows, [&](std::size_t first, std::size_t last) {
    const matrix_view<T> x = b.row_block(first, last - first);
    for (std::size_t end = x.cols; end > 0;) {
      const std::size_t n = (end - 1) % detail::cholesky_block + 1, c = end - n;
      const matrix_view<T> part = x.col_block(c, n);
      for (std::size_t r = 0; r < x.rows; ++r)
        detail::backward_substitution<T>(l.block(c, c, n, n), part.row(r));
      if (c > 0) gemm<T>(T(-1), part, l.block(c, 0, n, c), x.col_block(0, c), true);
      end = c;
    }
  });
}

/// Replaces the lower triangle of a symmetric, positive definite matrix (k, k) by L. The part above
/// the diagonal is overwritten with values of no meaning. Rows are contiguous. Returns false, and
/// leaves a in pieces, where a is not positive definite. Throws shape_error.
template <class T>
[[nodiscard]] bool cholesky(matrix_view<T> a, executor_ref ex = {}) {
  require_shape(a, a.rows, a.rows, "cholesky: a");
  const std::size_t k = a.rows;
  for (std::size_t c = 0; c < k; c += detail::cholesky_block) {
    const std::size_t n = std::min(detail::cholesky_block, k - c), rest = c + n;
    const matrix_view<T> diagonal = a.block(c, c, n, n);
    for (std::size_t i = 0; i < n; ++i) {
      const row_view<T> row(diagonal.row(i).data, i);
      detail::forward_substitution<T>(diagonal.block(0, 0, i, i), row);
      const T square = diagonal(i, i) - simd::dot(row, row);
      if (!(square > T(0)) || !is_finite(square)) return false;
      diagonal(i, i) = std::sqrt(square);
    }
    const matrix_view<T> panel = a.block(rest, c, k - rest, n);
    multiply_by_inverse_transposed<T>(diagonal, panel, ex);
    // Only columns up to the diagonal are needed, so some columns at a time are multiplied.
    for (std::size_t first = rest; first < k; first += 256) {
      const std::size_t wide = std::min<std::size_t>(256, k - first);
      const matrix_view<T> below = panel.row_block(first - rest, k - first);
      gemm<T>(T(-1), below, below.row_block(0, wide).transposed(),
              a.block(first, first, k - first, wide), true, ex);
    }
  }
  return true;
}

}  // namespace tern::inline TERN_ABI
