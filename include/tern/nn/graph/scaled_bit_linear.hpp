// The op `scaled_bit_linear` on a tape.
#pragma once

#include "tern/grad/tape.hpp"
#include "tern/nn/graph/operands.hpp"
#include "tern/nn/scaled_bit_linear.hpp"

namespace tern::inline TERN_ABI::graph {

/// y = Qa(x) Qw(W; scales)^T + b with a scale for each `block` of W. Scales have the gradient of
/// LSQ, the rest the straight-through one, which weights that are clipped have where `clipped` says
/// so. A null b means that there is no bias.
template <class T, class ActQ>
variable<T> scaled_bit_linear(tape<T>& t, variable<T> x, variable<T> w, variable<T> scales,
                              extents block, variable<T> b = {},
                              const ActQ& activation_quantizer = {},
                              clipped_gradient clipped = clipped_gradient::straight) {
  using op = tern::scaled_bit_linear<T, ActQ>;
  variable<T> y = t.make(x.rows(), w.rows());
  const auto saved = op::make_saved(t.memory(), x.rows(), x.cols(), w.rows(), block);
  op::forward(x.value, w.value, scales.value, vector_of(b.value), y.value, saved, t.memory(),
              t.executor(), activation_quantizer);
  t.record([=, &t] {
    op::backward(y.grad, w.value, saved, x.grad, w.grad, scales.grad, vector_of(b.grad), t.memory(),
                 t.executor(), t.products(), clipped);
  });
  return y;
}

}  // namespace tern::inline TERN_ABI::graph
