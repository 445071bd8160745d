// Activations that a loss or a calibration wants to see in a forward pass.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/grad/tape.hpp"

namespace tern::inline TERN_ABI {

/// Places in a layer of a decoder.
enum class tap_point {
  q,       ///< queries after their norm and RoPE, (tokens, heads * head_dim)
  k,       ///< keys after their norm and RoPE, (tokens, KV heads * head_dim)
  v,       ///< values, (tokens, KV heads * head_dim)
  hidden,  ///< what the layer hands to the next one, (tokens, hidden_size)
};

/// One place in one layer.
struct tap {
  std::size_t layer = 0;           ///< counted from 0
  tap_point point = tap_point::q;  ///< place in the layer
  bool operator==(const tap&) const = default;
};

/// A set of taps. Whoever wants to see an activation asks for it; the model fills it in every
/// forward pass.
template <class T>
class taps {
 public:
  /// Asks for an activation; asking twice changes nothing.
  void request(const tap& wanted) {
    if (find(wanted) == nullptr) entries_.push_back({wanted, {}});
  }
  void clear() { entries_.clear(); }                             ///< Nothing is asked for any more.
  [[nodiscard]] bool empty() const { return entries_.empty(); }  ///< Whether nothing is asked for.

  /// The activation of the last forward pass. On a tape that records it is the graph's own
  /// variable, so a loss may add to its gradient. Throws config_error for what was not requested.
  [[nodiscard]] variable<T> at(const tap& wanted) const {
    const entry* const found = find(wanted);
    if (found == nullptr)
      throw config_error("taps: layer " + std::to_string(wanted.layer) + " was not requested");
    return found->value;
  }

  /// Calls f(tap, variable) for all that was requested, in the order of the requests.
  template <class F>
  void for_each(F&& f) const {
    for (const entry& e : entries_) f(e.key, e.value);
  }

  /// The model calls this before a forward pass, with the width of each point. A tape that does not
  /// record gives a layer's memory to the next layer, so there the taps keep copies.
  template <class WidthOf>
  void reserve(tape<T>& t, std::size_t tokens, WidthOf&& width_of) {
    for (entry& e : entries_)
      e.value = t.recording() ? variable<T>{} : t.make(tokens, width_of(e.key.point));
  }

  /// The model calls this where it has computed an activation.
  void fill(const tape<T>& t, const tap& key, variable<T> value) {
    for (entry& e : entries_) {
      if (!(e.key == key)) continue;
      if (t.recording())
        e.value = value;
      else
        std::copy_n(value.value.data, value.value.size(), e.value.value.data);
    }
  }

 private:
  struct entry {
    tap key;
    variable<T> value;
  };
  [[nodiscard]] const entry* find(const tap& wanted) const {
    const auto at = std::ranges::find(entries_, wanted, &entry::key);
    return at == entries_.end() ? nullptr : &*at;
  }

  std::vector<entry> entries_;
};

}  // namespace tern::inline TERN_ABI
