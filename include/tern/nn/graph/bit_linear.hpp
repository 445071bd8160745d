// The op `bit_linear` on a tape.
#pragma once

#include "tern/grad/tape.hpp"
#include "tern/nn/bit_linear.hpp"
#include "tern/nn/graph/operands.hpp"

namespace tern::inline TERN_ABI::graph {

/// y = Qa(x) Qw(W)^T + b. The gradient is the straight-through one. A null b means that there is no
/// bias.
template <class T, class WeightQ, class ActQ>
variable<T> bit_linear(tape<T>& t, variable<T> x, variable<T> w, variable<T> b = {},
                       const WeightQ& weight_quantizer = {},
                       const ActQ& activation_quantizer = {}) {
  using op = tern::bit_linear<T, WeightQ, ActQ>;
  variable<T> y = t.make(x.rows(), w.rows());
  const auto saved = op::make_saved(t.memory(), x.rows(), x.cols(), w.rows(), weight_quantizer);
  op::forward(x.value, w.value, vector_of(b.value), y.value, saved, t.memory(), t.executor(),
              weight_quantizer, activation_quantizer);
  t.record([=, &t] {
    op::backward(y.grad, saved, x.grad, w.grad, vector_of(b.grad), t.memory(), t.executor(),
                 t.products());
  });
  return y;
}

}  // namespace tern::inline TERN_ABI::graph
