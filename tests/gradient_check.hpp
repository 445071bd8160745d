// Compares analytic gradients with central differences, and makes random operands for such tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "support.hpp"
#include "tern/adapt/eigen.hpp"
#include "tern/core/random.hpp"
#include "tern/core/tensor.hpp"

namespace tern_test {

/// A matrix of independent normal entries.
template <class T>
tern::matrix<T> random_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed,
                              double deviation = 1.0) {
  auto m = tern::tensor_traits<tern::matrix<T>>::make(rows, cols);
  tern::philox random(seed);
  for (T& v : m.reshaped()) v = static_cast<T>(deviation * random.normal());
  return m;
}

/// The sum of y * r, a scalar loss whose gradient with respect to y is r.
template <class T>
double weighted_sum(tern::matrix_view<const T> y, tern::matrix_view<const T> r) {
  double total = 0;
  for (std::size_t i = 0; i < y.rows; ++i)
    for (std::size_t j = 0; j < y.cols; ++j)
      total += static_cast<double>(y(i, j)) * static_cast<double>(r(i, j));
  return total;
}

/// Committed expected values as a matrix.
template <class T, std::size_t N>
tern::matrix<T> values(const double (&array)[N], std::size_t rows, std::size_t cols) {
  tern::require_size(N, rows * cols, "values");
  auto m = tern::tensor_traits<tern::matrix<T>>::make(rows, cols);
  std::transform(array, array + N, m.data(), [](double v) { return static_cast<T>(v); });
  return m;
}

/// Largest |x - expected| over the elements of a dense container or matrix.
template <class X, std::size_t N>
double largest_difference(const X& x, const double (&expected)[N]) {
  tern::require_size(static_cast<std::size_t>(x.size()), N, "largest_difference");
  double largest = 0;
  for (std::size_t i = 0; i < N; ++i)
    largest = std::max(largest, std::abs(static_cast<double>(x.data()[i]) - expected[i]));
  return largest;
}

/// Largest relative error of `gradient` = d f() / d x over all elements of x, which f reads. The
/// reference is five-point central differences. The error of elements far below the largest one is
/// relative to 1/1000 of that.
template <class F>
double gradient_error(F&& f, tern::matrix_view<double> x, tern::matrix_view<const double> gradient,
                      double step = 1e-3) {
  tern::require_shape(gradient, x.rows, x.cols, "gradient_error: gradient");
  double largest = 0, worst = 0;
  for (std::size_t i = 0; i < x.rows; ++i)
    for (std::size_t j = 0; j < x.cols; ++j) largest = std::max(largest, std::abs(gradient(i, j)));
  for (std::size_t i = 0; i < x.rows; ++i)
    for (std::size_t j = 0; j < x.cols; ++j) {
      const double at = x(i, j);
      const auto difference = [&](double h) {
        x(i, j) = at + h;
        const double above = f();
        x(i, j) = at - h;
        const double below = f();
        x(i, j) = at;
        return (above - below) / (2 * h);
      };
      const double numeric = (4 * difference(step) - difference(2 * step)) / 3;
      const double analytic = gradient(i, j);
      const double scale = std::max({std::abs(numeric), std::abs(analytic), 1e-3 * largest, 1e-12});
      const double relative = std::abs(numeric - analytic) / scale;
      if (!std::isfinite(relative)) return relative;
      worst = std::max(worst, relative);
    }
  return worst;
}

/// CHECKs that the analytic gradient of `f()` (a callable without arguments that reads x) agrees
/// with central differences to a relative error below 1e-6.
template <class F>
void check_gradient(F&& f, tern::matrix_view<double> x, tern::matrix_view<const double> gradient,
                    double step = 1e-3) {
  CHECK(gradient_error(f, x, gradient, step) < 1e-6);
}

/// The same for a vector, such as a gain or a bias.
template <class F>
void check_row_gradient(F&& f, tern::row_view<double> x, tern::row_view<const double> gradient,
                        double step = 1e-3) {
  check_gradient(f, tern::matrix_view<double>{x.data, 1, x.size, x.size, x.stride},
                 tern::matrix_view<const double>{gradient.data, 1, gradient.size, gradient.size,
                                                 gradient.stride},
                 step);
}

}  // namespace tern_test
