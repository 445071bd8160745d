// The best scales for codes that are fixed: the least-squares fit of each output to that of the
// full-precision stream. For row r with codes q_r, of which q_ri are those of block i, it minimises
//   sum_n w_n (sum_i s_ri q_ri x_ni - W_r f_n)^2 + lambda |s_r - s'_r|^2,
// where s' are the scales from before. Both sums follow from the moments of the input.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/calibrate/input_moments.hpp"
#include "tern/core/arena.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/is_finite.hpp"
#include "tern/linalg/cholesky.hpp"
#include "tern/linalg/gemm.hpp"
#include "tern/quant/quantizer.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// The normal equations of every row: A (blocks x blocks) and b (blocks), one row after another.
struct scale_equations {
  std::size_t blocks = 0;    ///< blocks in a row
  std::vector<double> a, b;  ///< elements of A and b of all rows

  double& left(std::size_t row, std::size_t i, std::size_t j) {
    return a[(row * blocks + i) * blocks + j];
  }
  double& right(std::size_t row, std::size_t i) { return b[row * blocks + i]; }
};

template <class T>
double sum_of_products(row_view<const T> x, const std::int8_t* codes) {
  double sum = 0;
  for (std::size_t c = 0; c < x.size; ++c)
    sum += static_cast<double>(x[c] * static_cast<T>(codes[c]));
  return sum;
}

template <class T>
scale_equations equations_of(matrix_view<const T> original, matrix_view<const std::int8_t> codes,
                             std::size_t width, const input_moments<T>& moments, arena& memory,
                             executor_ref ex) {
  const std::size_t m = codes.rows, k = codes.cols, blocks = (k + width - 1) / width;
  scale_equations e{blocks, std::vector<double>(m * blocks * blocks),
                    std::vector<double>(m * blocks)};
  const matrix_view<const T> hessian = moments.hessian;
  const arena_scope temporaries(memory);
  const matrix_view<T> q = memory.matrix<T>(m, k), product = memory.matrix<T>(m, k);
  for_each_row(m, k, ex, [&](std::size_t r) {
    for (std::size_t c = 0; c < k; ++c) q(r, c) = static_cast<T>(codes(r, c));
  });
  const auto group = [&](std::size_t i) { return std::min(width, k - i * width); };
  const auto add_row = [&](std::size_t r, std::size_t i, auto&& to) {
    to += sum_of_products<T>(product.block(r, i * width, 1, group(i)).row(0), &codes(r, i * width));
  };
  for (std::size_t i = 0; i < blocks; ++i) {
    gemm<T>(T(1), q.col_block(i * width, group(i)), hessian.row_block(i * width, group(i)), product,
            false, ex);
    for_each_row(m, k, ex, [&](std::size_t r) {
      for (std::size_t j = 0; j < blocks; ++j) add_row(r, j, e.left(r, i, j));
    });
  }
  // W sum w_n f_n x_n^T = W (H + D)
  gemm<T>(T(1), original, hessian, product, false, ex);
  if (moments.drift.size() != 0) gemm<T>(T(1), original, moments.drift, product, true, ex);
  for_each_row(m, k, ex, [&](std::size_t r) {
    for (std::size_t i = 0; i < blocks; ++i) add_row(r, i, e.right(r, i));
  });
  return e;
}

/// Replaces s by the solution of (A + lambda I) s = b + lambda s; leaves it where the solution is
/// not positive. A (n, n) is overwritten.
template <class T>
void solve_scales(matrix_view<double> a, row_view<const double> b, double ridge, row_view<T> s) {
  const std::size_t n = a.rows;
  double trace = 0;
  for (std::size_t i = 0; i < n; ++i) trace += a(i, i);
  const double lambda = ridge * trace / static_cast<double>(n);
  std::vector<double> x(n);
  for (std::size_t i = 0; i < n; ++i) {
    x[i] = b[i] + lambda * static_cast<double>(s[i]);
    a(i, i) += lambda;
  }
  if (!cholesky<double>(a)) return;
  const matrix_view<double> row(x.data(), 1, n);
  multiply_by_inverse_transposed<double>(a, row);
  multiply_by_inverse<double>(a, row);
  for (const double found : x)
    if (!is_finite(found) || found <= 0) return;
  for (std::size_t i = 0; i < n; ++i) s[i] = static_cast<T>(x[i]);
}

}  // namespace detail

/// Replaces scales (scale_extents of the codes and `block`) by the fitted ones. original (M, K):
/// the weights of the full-precision model. A block must have 1 row or all rows. Rows where the fit
/// has no positive solution keep their scales. Throws shape_error, and config_error for other
/// blocks.
template <class T>
void refit_scales(matrix_view<const T> original, matrix_view<const std::int8_t> codes,
                  extents block, const input_moments<T>& moments, double ridge,
                  matrix_view<T> scales, arena& memory, executor_ref ex = {}) {
  const extents n = scale_extents({codes.rows, codes.cols}, block);
  require_shape(original, codes.rows, codes.cols, "refit_scales: original");
  require_shape(scales, n.rows, n.cols, "refit_scales: scales");
  if (block.rows != 1 && n.rows != 1)
    throw config_error("refit_scales: a block must have 1 row or all rows");
  if (codes.size() == 0) return;
  auto e = detail::equations_of<T>(original, codes, block.cols, moments, memory, ex);
  const std::size_t blocks = n.cols;
  const auto refit = [&](std::size_t row) {
    detail::solve_scales<T>({&e.left(row, 0, 0), blocks, blocks}, {&e.right(row, 0), blocks}, ridge,
                            scales.row(row));
  };
  if (block.rows == 1) return for_each_row(codes.rows, blocks * blocks * blocks, ex, refit);
  for (std::size_t r = 1; r < codes.rows; ++r)  // one block of all rows: the equations add up
    for (std::size_t i = 0; i < blocks; ++i) {
      e.right(0, i) += e.right(r, i);
      for (std::size_t j = 0; j < blocks; ++j) e.left(0, i, j) += e.left(r, i, j);
    }
  refit(0);
}

}  // namespace tern::inline TERN_ABI
