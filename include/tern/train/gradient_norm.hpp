// The global norm of all gradients, which clipping limits.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numeric>

#include "tern/core/executor.hpp"
#include "tern/core/is_finite.hpp"
#include "tern/core/simd.hpp"
#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// `start` plus the sum of the squares of all elements. Rows add up in chunks that depend on the
/// shape alone, so the result has the same bits for any number of threads.
template <class T>
double squared_norm(matrix_view<const T> m, double start = 0, executor_ref ex = {}) {
  std::array<double, 64> partial{};
  const std::size_t grain =
      std::max(rows_per_chunk(m.cols), (m.rows + partial.size() - 1) / partial.size());
  ex.parallel_for(m.rows, grain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r)
      partial[begin / grain] += static_cast<double>(simd::dot(m.row(r), m.row(r)));
  });
  return std::accumulate(partial.begin(), partial.end(), start);
}

/// Largest magnitude of all elements.
template <class T>
double largest_magnitude(matrix_view<const T> m) {
  double largest = 0;
  for (std::size_t r = 0; r < m.rows; ++r)
    largest = std::max(largest, static_cast<double>(simd::max_abs(m.row(r))));
  return largest;
}

/// Sum of the squares of all elements divided by `scale`.
template <class T>
double scaled_squared_norm(matrix_view<const T> m, double scale) {
  double total = 0;
  for (std::size_t r = 0; r < m.rows; ++r)
    for (std::size_t c = 0; c < m.cols; ++c) {
      const double x = static_cast<double>(m(r, c)) / scale;
      total += x * x;
    }
  return total;
}

/// The root of the mean of the squares of all elements; 0 where there are none.
template <class T>
double root_mean_square(matrix_view<const T> m, executor_ref ex = {}) {
  if (m.size() == 0) return 0;
  const auto n = static_cast<double>(m.size());
  const double plain = std::sqrt(squared_norm(m, 0, ex) / n);
  if (is_finite(plain)) return plain;
  const double largest = largest_magnitude(m);
  return is_finite(largest) ? largest * std::sqrt(scaled_squared_norm(m, largest) / n) : plain;
}

/// The Euclidean norm of all gradients together. It is finite where a number of type double can
/// hold it, even if squares overflow.
template <class Model>
double gradient_norm(Model& model, executor_ref ex = {}) {
  using T = typename Model::scalar;
  double total = 0;
  model.for_each_parameter(
      [&](auto& p) { total = squared_norm<T>(matrix_view<T>(p.grad), total, ex); });
  if (is_finite(total)) return std::sqrt(total);
  double largest = 0, scaled = 0;
  model.for_each_parameter(
      [&](auto& p) { largest = std::max(largest, largest_magnitude<T>(matrix_view<T>(p.grad))); });
  if (!is_finite(largest)) return largest;
  model.for_each_parameter(
      [&](auto& p) { scaled += scaled_squared_norm<T>(matrix_view<T>(p.grad), largest); });
  return largest * std::sqrt(scaled);
}

}  // namespace tern::inline TERN_ABI
