// Moves weights so that the layer gives, on the input of the quantized stream, what it gives in the
// full-precision stream: the least-squares fit with a ridge,
//   W' = argmin sum w_n |W' x_n - W f_n|^2 + lambda |W' - W|^2
//      = W + W D (H + lambda I)^-1,   D = sum w_n (f_n - x_n) x_n^T,  H = sum w_n x_n x_n^T,
// which is done before the rounding. (GPTAQ, arXiv 2504.02692, compensates the same difference
// column by column.)
#pragma once

#include <cstddef>
#include <numeric>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/calibrate/hessian_factor.hpp"
#include "tern/calibrate/input_moments.hpp"
#include "tern/calibrate/require_finite.hpp"
#include "tern/core/arena.hpp"
#include "tern/linalg/cholesky.hpp"
#include "tern/linalg/gemm.hpp"

namespace tern::inline TERN_ABI {

/// The correction D (H + lambda I)^-1 of an input. It serves every weight matrix that has this
/// input.
template <class T>
class target_correction {
 public:
  /// Solves for the correction, with lambda = ridge times the mean diagonal element of H. Throws
  /// config_error where the moments have no drift or the ridge is negative, and numeric_error where
  /// they are not finite, or H is not positive definite despite the ridge.
  explicit target_correction(const input_moments<T>& moments, double ridge = .1,
                             executor_ref ex = {})
      : correction_(moments.drift) {
    if (correction_.size() == 0 && moments.hessian.size() != 0)
      throw config_error("target_correction: the moments have no drift");
    const auto k = static_cast<std::size_t>(moments.hessian.rows());
    require_shape(matrix_view<const T>(correction_), k, k, "target_correction: drift");
    require_finite<T>(correction_, "target_correction: drift");
    require_finite<T>(moments.hessian, "target_correction: hessian");
    std::vector<std::size_t> order(k);
    std::iota(order.begin(), order.end(), std::size_t{0});
    const tern::matrix<double> factor = detail::damped_cholesky<T>(
        matrix_view<const T>(moments.hessian), ridge, order, "target_correction", ex);
    const matrix_view<const double> lower = factor;
    const matrix_view<T> d = correction_;
    // D (L L^T)^-1 = D L^-T L^-1, some rows of D at a time.
    ex.parallel_for(k, 64, [&](std::size_t begin, std::size_t end) {
      tern::matrix<double> rows = tensor_traits<tern::matrix<double>>::make(end - begin, k);
      const matrix_view<double> x = rows;
      for (std::size_t r = begin; r < end; ++r)
        for (std::size_t c = 0; c < k; ++c) x(r - begin, c) = static_cast<double>(d(r, c));
      multiply_by_inverse_transposed<double>(lower, x);
      multiply_by_inverse<double>(lower, x);
      for (std::size_t r = begin; r < end; ++r)
        for (std::size_t c = 0; c < k; ++c) d(r, c) = static_cast<T>(x(r - begin, c));
    });
  }

  /// D (H + lambda I)^-1, (K, K).
  [[nodiscard]] matrix_view<const T> matrix() const { return correction_; }

  /// W += W D (H + lambda I)^-1, for weights (M, K) whose rows or columns are contiguous. Throws
  /// shape_error.
  void apply(matrix_view<T> weights, arena& memory, executor_ref ex = {}) const {
    const matrix_view<const T> by = correction_;
    require_shape(weights, weights.rows, by.rows, "target_correction: weights");
    const arena_scope scope(memory);
    const matrix_view<T> before = memory.matrix<T>(weights.rows, weights.cols);
    for_each_row(weights.rows, weights.cols, ex, [&](std::size_t r) {
      for (std::size_t c = 0; c < weights.cols; ++c) before(r, c) = weights(r, c);
    });
    gemm<T>(T(1), before, by, weights, true, ex);
  }

 private:
  tern::matrix<T> correction_;
};

}  // namespace tern::inline TERN_ABI
