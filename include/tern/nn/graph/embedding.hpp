// The op `embedding` on a tape.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tern/grad/tape.hpp"
#include "tern/nn/embedding.hpp"
#include "tern/pack/shared_weights.hpp"

namespace tern::inline TERN_ABI::graph {

/// y[i] = scale * table[tokens[i]]. `tokens` must outlive the step.
template <class T>
variable<T> embedding(tape<T>& t, std::span<const std::int32_t> tokens, variable<T> table,
                      T scale = T(1)) {
  variable<T> y = t.make(tokens.size(), table.cols());
  tern::embedding<T>::forward(tokens, table.value, y.value, t.executor(), scale);
  t.record([=, ex = t.executor()] {
    tern::embedding<T>::backward(y.grad, tokens, table.grad, ex, scale);
  });
  return y;
}

/// The same with a packed table, for inference only: throws config_error on a tape that records.
template <class T>
variable<T> embedding(tape<T>& t, std::span<const std::int32_t> tokens,
                      const shared_weights<T>& table, T scale = T(1)) {
  if (t.recording()) throw config_error("packed weights cannot be trained");
  variable<T> y = t.make(tokens.size(), table.cols());
  tern::embedding<T>::require_ids(tokens, table.rows());
  table.visit([&](const auto& view) {
    for_each_row(y.rows(), y.cols(), t.executor(), [&](std::size_t r) {
      const row_view<T> row = y.value.row(r);
      dequantize_row(view, static_cast<std::size_t>(tokens[r]), row);
      for (std::size_t c = 0; c < row.size; ++c) row[c] *= scale;
    });
  });
  return y;
}

}  // namespace tern::inline TERN_ABI::graph
