// What attention-relation distillation sees of one layer.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

#include "tern/grad/tape.hpp"

namespace tern::inline TERN_ABI {

/// Q and K after norm and RoPE, V raw, (tokens, heads * head_dim), filled by decoder::hidden. On a
/// tape that records they are the graph's own variables.
template <class T>
struct attention_taps {
  std::size_t layer = 0;               ///< of the decoder
  variable<T> q = {}, k = {}, v = {};  ///< of that layer; null until it ran

  /// Room for copies where nothing is recorded: there a layer's own memory does not outlive it.
  void reserve(tape<T>& t, std::size_t tokens, std::size_t q_width, std::size_t kv_width) {
    if (t.recording()) return;
    q = t.make(tokens, q_width);
    k = t.make(tokens, kv_width);
    v = t.make(tokens, kv_width);
  }

  /// Called by the decoder with the variables of `layer`; copies where nothing is recorded.
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
