// The op `ste` on a tape.
#pragma once

#include "tern/grad/ste.hpp"
#include "tern/grad/tape.hpp"

namespace tern::inline TERN_ABI::graph {

/// y = x + lambda (Q(x) - x) with the straight-through gradient.
template <class T, class Quantizer>
variable<T> ste(tape<T>& t, variable<T> x, T lambda, const Quantizer& quantizer) {
  using op = tern::ste<Quantizer, T>;
  variable<T> y = t.make(x.rows(), x.cols());
  op::forward(x.value, y.value, t.memory(), lambda, t.executor(), quantizer);
  t.record([=] { op::backward(y.grad, x.grad); });
  return y;
}

}  // namespace tern::inline TERN_ABI::graph
