// How many bits a language model needs for each byte of a text. Unlike perplexity, the figure does
// not depend on the tokenizer.
#pragma once

#include <cmath>
#include <cstddef>
#include <numbers>

#include "tern/core/error.hpp"

namespace tern::inline TERN_ABI {

/// The bits per byte of a text of `bytes` bytes in UTF-8, whose tokens have the total negative
/// log-likelihood `nats` (natural logarithm). Throws config_error where there are no bytes.
inline double bits_per_byte(double nats, std::size_t bytes) {
  if (bytes == 0) throw config_error("bits_per_byte: expected a text of at least one byte");
  return nats / std::numbers::ln2 / static_cast<double>(bytes);
}

}  // namespace tern::inline TERN_ABI
