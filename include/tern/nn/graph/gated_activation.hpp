// The op `gated_activation` on a tape.
#pragma once

#include "tern/grad/tape.hpp"
#include "tern/nn/feed_forward.hpp"

namespace tern::inline TERN_ABI::graph {

/// y = act(gate) * up. On a tape that does not record, y takes the place of gate, whose memory is
/// in the cache.
template <class T>
variable<T> gated_activation(tape<T>& t, activation act, variable<T> gate, variable<T> up) {
  variable<T> y = t.recording() ? t.make(gate.rows(), gate.cols()) : gate;
  tern::gated_activation<T>::forward(act, gate.value, up.value, y.value, t.executor());
  t.record([=, ex = t.executor()] {
    tern::gated_activation<T>::backward(act, y.grad, gate.value, up.value, gate.grad, up.grad, ex);
  });
  return y;
}

}  // namespace tern::inline TERN_ABI::graph
