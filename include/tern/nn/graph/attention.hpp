// The op `attention` on a tape.
#pragma once

#include <cstddef>
#include <span>

#include "tern/grad/tape.hpp"
#include "tern/nn/attention.hpp"

namespace tern::inline TERN_ABI::graph {

/// Causal grouped-query attention within each sequence. `offsets` must outlive the step.
template <class T>
variable<T> attention(tape<T>& t, variable<T> q, variable<T> k, variable<T> v,
                      std::span<const std::size_t> offsets, attention_shape shape) {
  variable<T> y = t.make(q.rows(), q.cols());
  const matrix_view<T> lse =
      t.recording() ? t.memory().template matrix<T>(q.rows(), shape.q_heads) : matrix_view<T>{};
  tern::attention<T>::forward(q.value, k.value, v.value, offsets, shape, y.value, lse, t.memory(),
                              t.executor(), t.products());
  t.record([=, &t] {
    tern::attention<T>::backward(y.grad, q.value, k.value, v.value, y.value, lse, offsets, shape,
                                 q.grad, k.grad, v.grad, t.memory(), t.executor(), t.products());
  });
  return y;
}

}  // namespace tern::inline TERN_ABI::graph
