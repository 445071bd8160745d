// The op `linear` on a tape.
#pragma once

#include "tern/grad/tape.hpp"
#include "tern/nn/graph/operands.hpp"
#include "tern/nn/linear.hpp"

namespace tern::inline TERN_ABI::graph {

/// y = x W^T + b. A null b means that there is no bias.
template <class T>
variable<T> linear(tape<T>& t, variable<T> x, variable<T> w, variable<T> b = {}) {
  variable<T> y = t.make(x.rows(), w.rows());
  tern::linear<T>::forward(x.value, w.value, vector_of(b.value), y.value, t.executor(),
                           t.products());
  t.record([=, ex = t.executor(), p = t.products()] {
    tern::linear<T>::backward(y.grad, x.value, w.value, x.grad, w.grad, vector_of(b.grad), ex, p);
  });
  return y;
}

}  // namespace tern::inline TERN_ABI::graph
