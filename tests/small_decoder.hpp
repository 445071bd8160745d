// A model for tests that need one of any kind, and cannot wait for a large one.
#pragma once
#include <cstdint>

#include "tern/model/decoder.hpp"

namespace tern_test {

/// The configuration of a decoder of two layers whose random weights are large enough for clear
/// decisions.
inline tern::model_config small_config(std::size_t vocab_size) {
  tern::model_config c;
  c.vocab_size = vocab_size;
  c.hidden_size = 16;
  c.intermediate_size = 24;
  c.num_hidden_layers = 2;
  c.num_attention_heads = c.num_key_value_heads = 2;
  c.head_dim = 8;
  c.max_position_embeddings = 64;
  c.initializer_range = 0.4;
  return c;
}

/// A decoder of this configuration with random weights.
template <class Matrix = tern::matrix<float>>
tern::decoder<Matrix> small_decoder(std::size_t vocab_size, std::uint64_t seed) {
  tern::decoder<Matrix> model(small_config(vocab_size));
  model.initialize(seed);
  return model;
}

}  // namespace tern_test
