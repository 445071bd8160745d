// The tensors of one layer that attention-relation distillation compares.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

#include "tern/grad/tape.hpp"

namespace tern::inline TERN_ABI {

/// Q and K after norm and RoPE, and V, each (tokens, heads * head_dim). decoder::hidden fills them.
/// On a tape that records they are variables of the graph.
template <class T>
struct attention_taps {
  std::size_t layer = 0;               ///< number of the layer
  variable<T> q = {}, k = {}, v = {};  ///< null until the layer ran

  /// Takes memory for copies where nothing is recorded, since a layer's memory is then reused by
  /// the next one.
  void reserve(tape<T>& t, std::size_t tokens, std::size_t q_width, std::size_t kv_width) {
    if (t.recording()) return;
    q = t.make(tokens, q_width);
    k = t.make(tokens, kv_width);
    v = t.make(tokens, kv_width);
  }

  /// The decoder calls it with the variables of `layer`. They are copied where nothing is recorded.
  void fill(tape<T>& t, variable<T> q_, variable<T> k_, variable<T> v_) {
    if (t.recording()) {
      q = q_;
      k = k_;
      v = v_;
      return;
    }
    for (const auto& [from, to] : {std::pair(q_, q), {k_, k}, {v_, v}})
      std::copy_n(from.value.data, from.value.size(), to.value.data);
  }
};

}  // namespace tern::inline TERN_ABI
