// The global norm of all gradients, which clipping limits.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numeric>

#include "tern/core/executor.hpp"
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

/// The root of the mean of the squares of all elements; 0 where there are none.
template <class T>
double root_mean_square(matrix_view<const T> m, executor_ref ex = {}) {
  return m.size() == 0 ? 0 : std::sqrt(squared_norm(m, 0, ex) / static_cast<double>(m.size()));
}

/// The Euclidean norm of all gradients together.
template <class Model>
double gradient_norm(Model& model, executor_ref ex = {}) {
  using T = typename Model::scalar;
  double total = 0;
  model.for_each_parameter(
      [&](auto& p) { total = squared_norm<T>(matrix_view<T>(p.grad), total, ex); });
  return std::sqrt(total);
}

}  // namespace tern::inline TERN_ABI
