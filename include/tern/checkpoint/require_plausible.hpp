// A first check of a model's configuration against the size of its files.
#pragma once

#include <cstddef>
#include <string>

#include "tern/core/error.hpp"
#include "tern/model/config.hpp"

namespace tern::inline TERN_ABI::detail {

/// Throws config_error where the configuration describes far more than the files hold, before
/// memory is taken for it. `stored`: number of bytes of all tensors. `what`: name of the
/// configuration in the message.
inline void require_plausible(const model_config& c, std::size_t stored, const std::string& what) {
  const auto real = [](std::size_t n) { return static_cast<double>(n); };
  const double bytes = real(stored);
  const double layer = real(c.hidden_size) * (2 * real(c.num_attention_heads) * real(c.head_dim) +
                                              2 * real(c.num_key_value_heads) * real(c.head_dim) +
                                              3 * real(c.intermediate_size));
  const double weights =
      real(c.vocab_size) * real(c.hidden_size) + real(c.num_hidden_layers) * layer;
  if (weights > 5 * bytes)  // a byte holds at most five ternary weights
    throw config_error(what + " describes " + std::to_string(weights / 1e6) +
                       " million weights, the files hold " + std::to_string(bytes / 1e6) + " MB");
}

}  // namespace tern::inline TERN_ABI::detail
