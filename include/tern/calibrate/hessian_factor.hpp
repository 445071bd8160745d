// The factor of a hessian that GPTQ works with (arXiv 2210.17323, section 3.3): the upper
// triangular U of
//   (H + damping mean(diag H) I)^-1 = U^T U.
// The inverse itself is never formed: with the order of the columns reversed, H = R R^T is a
// Cholesky factorisation with an upper triangular R, and U = R^-1.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/calibrate/require_finite.hpp"
#include "tern/core/error.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/is_finite.hpp"
#include "tern/linalg/cholesky.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// The lower triangular L of H + ridge mean(diag H) I = L L^T, in double, for the columns of H in
/// this order. A column whose diagonal element is 0 belongs to an input that is never active; it
/// gets diagonal element 1 and so has no effect on the others. H is finite. Throws config_error for
/// a ridge that is negative or not finite, and numeric_error, which begins with `what`, where H is
/// not positive definite.
template <class T>
matrix<double> damped_cholesky(matrix_view<const T> h, double ridge,
                               std::span<const std::size_t> order, const std::string& what,
                               executor_ref ex) {
  if (!(ridge >= 0) || !is_finite(ridge))
    throw config_error(what + ": the damping must be finite and at least 0");
  const std::size_t k = h.rows;
  matrix<double> factor = tensor_traits<matrix<double>>::make(k, k);
  const matrix_view<double> a = factor;
  double trace = 0;
  for (std::size_t i = 0; i < k; ++i) trace += static_cast<double>(h(i, i));
  const double damping = ridge * trace / static_cast<double>(std::max<std::size_t>(k, 1));
  for_each_row(k, k, ex, [&](std::size_t r) {
    for (std::size_t c = 0; c <= r; ++c) a(r, c) = static_cast<double>(h(order[r], order[c]));
    a(r, r) = a(r, r) == 0 ? 1 : a(r, r) + damping;
  });
  if (!cholesky<double>(a, ex))
    throw numeric_error(what + ": the hessian is not positive definite; raise the damping");
  return factor;
}

}  // namespace detail

/// The order in which GPTQ rounds columns.
enum class column_order {
  natural,     ///< columns from the first to the last
  activation,  ///< the most active first: columns by falling diagonal element of the hessian
};

/// Damping and order of a hessian_factor.
struct hessian_factor_options {
  double damping = .02;  ///< multiple of the mean diagonal element that is added to the diagonal
  column_order order = column_order::natural;  ///< order of the columns
};

/// A factorised hessian. It serves every weight matrix that has the same input.
template <class T>
class hessian_factor {
 public:
  /// Factorises H (K, K), symmetric. Columns whose diagonal element is 0 are handled as inputs that
  /// are never active. Throws shape_error, config_error for a negative damping, and numeric_error
  /// where H is not finite, or not positive definite despite the damping.
  explicit hessian_factor(matrix_view<const T> hessian, hessian_factor_options options = {},
                          executor_ref ex = {})
      : natural_(options.order == column_order::natural), order_(hessian.rows) {
    require_shape(hessian, hessian.rows, hessian.rows, "hessian_factor: hessian");
    require_finite(hessian, "hessian_factor: hessian");
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    if (!natural_)
      std::stable_sort(order_.begin(), order_.end(),
                       [&](std::size_t a, std::size_t b) { return hessian(a, a) > hessian(b, b); });
    const std::vector<std::size_t> reversed(order_.rbegin(), order_.rend());
    const matrix<double> factor =
        detail::damped_cholesky(hessian, options.damping, reversed, "hessian_factor", ex);
    const matrix_view<const double> lower = factor;
    const std::size_t k = width();
    upper_ = tensor_traits<matrix<T>>::make(k, k);
    const matrix_view<T> u = upper_;
    // Some rows of L^-1 at a time. They are 0 right of the diagonal.
    ex.parallel_for(k, 64, [&](std::size_t begin, std::size_t end) {
      matrix<double> rows = tensor_traits<matrix<double>>::make(end - begin, end);
      const matrix_view<double> x = rows;
      for (std::size_t r = begin; r < end; ++r) x(r - begin, r) = 1;
      multiply_by_inverse<double>(lower.block(0, 0, end, end), x);
      for (std::size_t r = begin; r < end; ++r)
        for (std::size_t c = 0; c <= r; ++c)
          u(k - 1 - r, k - 1 - c) = static_cast<T>(x(r - begin, c));
    });
  }

  [[nodiscard]] std::size_t width() const { return order_.size(); }  ///< number of columns, K
  /// The natural index of the column that is rounded as the i-th.
  [[nodiscard]] std::span<const std::size_t> order() const { return order_; }
  [[nodiscard]] bool natural() const { return natural_; }  ///< order() is 0, 1, ..., K - 1
  /// U (K, K), zero below the diagonal, with the columns in order().
  [[nodiscard]] matrix_view<const T> upper() const { return upper_; }

 private:
  bool natural_;
  std::vector<std::size_t> order_;
  matrix<T> upper_;
};

}  // namespace tern::inline TERN_ABI
