// The global norm of all gradients, which clipping limits. Rows add up in chunks that depend on
// shapes alone, so it has the same bits for any number of threads and ranks.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "tern/core/executor.hpp"
#include "tern/core/is_finite.hpp"
#include "tern/core/reducer.hpp"
#include "tern/core/simd.hpp"
#include "tern/core/tensor.hpp"
#include "tern/train/row_shard.hpp"

namespace tern::inline TERN_ABI {

/// Puts what measure(rows) gives for each chunk of `grain` rows to `results`.
template <class T, class F>
void measure_chunks(matrix_view<const T> m, std::size_t grain, double* results, executor_ref ex,
                    F&& measure) {
  ex.parallel_for(m.rows, grain, [&](std::size_t begin, std::size_t end) {
    results[begin / grain] = measure(m.row_block(begin, end - begin));
  });
}

/// Sum of the squares of all elements.
template <class T>
double squared_norm(matrix_view<const T> m) {
  double total = 0;
  for (std::size_t r = 0; r < m.rows; ++r)
    total += static_cast<double>(simd::dot(m.row(r), m.row(r)));
  return total;
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
  const std::size_t grain = rows_of_chunk({m.rows, m.cols});
  std::vector<double> sums((m.rows + grain - 1) / grain);
  measure_chunks(m, grain, sums.data(), ex, [](auto rows) { return squared_norm<T>(rows); });
  const double plain = std::sqrt(std::accumulate(sums.begin(), sums.end(), 0.0) / n);
  if (is_finite(plain)) return plain;
  const double largest = largest_magnitude(m);
  return is_finite(largest) ? largest * std::sqrt(scaled_squared_norm(m, largest) / n) : plain;
}

namespace detail {

/// What measure(rows) gives for each chunk of all gradients, in the order of the model. Each rank
/// measures the chunks that it owns.
template <class Model, class F>
std::vector<double> measure_gradients(Model& model, const row_shard& shard, reducer& ranks,
                                      executor_ref ex, F&& measure) {
  using T = typename Model::scalar;
  std::vector<double> all(shard.first_chunk(ranks.ranks()));
  double* next = all.data() + shard.first_chunk(ranks.rank());
  std::size_t index = 0;
  model.for_each_parameter([&](auto& p) {
    const row_range own = shard.rows(index++, ranks.rank());
    if (own.count == 0) return;
    const matrix_view<T> g = p.grad;
    const std::size_t grain = rows_of_chunk({g.rows, g.cols});
    measure_chunks(matrix_view<const T>(g.row_block(own.first, own.count)), grain, next, ex,
                   measure);
    next += (own.count + grain - 1) / grain;
  });
  std::vector<std::size_t> bytes(ranks.ranks());
  for (std::size_t r = 0; r < bytes.size(); ++r)
    bytes[r] = (shard.first_chunk(r + 1) - shard.first_chunk(r)) * sizeof(double);
  ranks.gather(std::as_writable_bytes(std::span(all)), bytes);
  return all;
}

}  // namespace detail

/// The Euclidean norm of all gradients together, where each rank has those of the rows that it owns
/// in `shard`. It is finite where a number of type double can hold it, even if squares overflow,
/// and has the same bits for any number of ranks and threads.
template <class Model>
double gradient_norm(Model& model, const row_shard& shard, reducer& ranks, executor_ref ex = {}) {
  using T = typename Model::scalar;
  const auto of_chunks = [&](auto&& measure) {
    return detail::measure_gradients(model, shard, ranks, ex, measure);
  };
  const auto sum = [](const std::vector<double>& of) {
    return std::accumulate(of.begin(), of.end(), 0.0);
  };
  const double total = sum(of_chunks([](auto rows) { return squared_norm<T>(rows); }));
  if (is_finite(total)) return std::sqrt(total);
  double largest = 0;
  for (const double each : of_chunks([](auto rows) { return largest_magnitude<T>(rows); }))
    largest = std::max(largest, each);
  if (!is_finite(largest)) return largest;
  return largest * std::sqrt(sum(of_chunks(
                       [&](auto rows) { return scaled_squared_norm<T>(rows, largest); })));
}

/// The same where one rank has all gradients.
template <class Model>
double gradient_norm(Model& model, executor_ref ex = {}) {
  std::vector<extents> shapes;
  model.for_each_parameter([&](auto& p) {
    const matrix_view<typename Model::scalar> g = p.grad;
    shapes.push_back({g.rows, g.cols});
  });
  return gradient_norm(model, row_shard(std::move(shapes), 1), one_rank(), ex);
}

}  // namespace tern::inline TERN_ABI
