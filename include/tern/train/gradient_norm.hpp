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

/// The Euclidean norm of all gradients together. Rows add up in chunks that depend on the shape
/// alone, so the result has the same bits for any number of threads.
template <class Model>
double gradient_norm(Model& model, executor_ref ex = {}) {
  double total = 0;
  model.for_each_parameter([&](auto& p) {
    const matrix_view<typename Model::scalar> g = p.grad;
    std::array<double, 64> partial{};
    const std::size_t grain =
        std::max(rows_per_chunk(g.cols), (g.rows + partial.size() - 1) / partial.size());
    ex.parallel_for(g.rows, grain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t r = begin; r < end; ++r)
        partial[begin / grain] += static_cast<double>(simd::dot(g.row(r), g.row(r)));
    });
    total = std::accumulate(partial.begin(), partial.end(), total);
  });
  return std::sqrt(total);
}

}  // namespace tern::inline TERN_ABI
