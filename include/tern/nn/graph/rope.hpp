// The op `rope` on a tape.
#pragma once

#include <cstdint>
#include <span>

#include "tern/grad/tape.hpp"
#include "tern/nn/rope.hpp"

namespace tern::inline TERN_ABI::graph {

/// Rotates x in place. A recorded backward pass must not need the earlier value of x, since it is
/// lost.
template <class T>
void rope(tape<T>& t, variable<T> x, std::span<const std::int32_t> positions,
          const rope_table<T>& table) {
  tern::rope<T>::forward(x.value, positions, table, t.executor());
  t.record(
      [=, &table, ex = t.executor()] { tern::rope<T>::backward(x.grad, positions, table, ex); });
}

}  // namespace tern::inline TERN_ABI::graph
