// The error of a linear layer's output on the calibration tokens, computed from their moments.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

#include "tern/core/arena.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/simd.hpp"
#include "tern/linalg/gemm.hpp"

namespace tern::inline TERN_ABI {

/// tr(W H W^T) = sum w_n |W x_n|^2, the sum of squares of the outputs of weights (M, K), for the
/// hessian (K, K) of input_moments. Rows or columns must be contiguous. Throws shape_error.
template <class T>
double output_energy(matrix_view<const T> weights, matrix_view<const T> hessian, arena& memory,
                     executor_ref ex = {}) {
  require_shape(hessian, weights.cols, weights.cols, "output_energy: hessian");
  const arena_scope scope(memory);
  const matrix_view<T> product = memory.matrix<T>(weights.rows, weights.cols);
  gemm<T>(T(1), weights, hessian, product, false, ex);
  std::vector<double> rows(weights.rows);
  for_each_row(weights.rows, weights.cols, ex, [&](std::size_t r) {
    for (std::size_t c = 0; c < weights.cols; ++c)
      rows[r] += static_cast<double>(product(r, c)) * static_cast<double>(weights(r, c));
  });
  const double total = std::accumulate(rows.begin(), rows.end(), 0.0);
  return total < 0 ? 0 : total;  // rounding may make a small trace negative; NaN stays NaN
}

/// tr((W - Q) H (W - Q)^T) / tr(W H W^T) for weights W and approximations Q of them, both (M, K).
/// It is 0 where both traces are 0. Throws shape_error.
template <class T>
double relative_output_error(matrix_view<const T> weights, matrix_view<const T> approximation,
                             matrix_view<const T> hessian, arena& memory, executor_ref ex = {}) {
  require_shape(approximation, weights.rows, weights.cols, "relative_output_error: approximation");
  const arena_scope scope(memory);
  const matrix_view<T> difference = memory.matrix<T>(weights.rows, weights.cols);
  for_each_row(weights.rows, weights.cols, ex, [&](std::size_t r) {
    for (std::size_t c = 0; c < weights.cols; ++c)
      difference(r, c) = weights(r, c) - approximation(r, c);
  });
  const double error = output_energy<T>(difference, hessian, memory, ex);
  return error == 0 ? 0 : error / output_energy<T>(weights, hessian, memory, ex);
}

}  // namespace tern::inline TERN_ABI
