// The configuration of a model as the metadata of a GGUF file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tern/checkpoint/gguf_architecture_for.hpp"
#include "tern/checkpoint/gguf_names.hpp"
#include "tern/gguf/writer.hpp"
#include "tern/model/config.hpp"

namespace tern::inline TERN_ABI {

/// Writes the keys of the architecture, such as "llama.block_count".
inline void write_gguf_config(gguf_writer& file, const model_config& c,
                              const gguf_architecture& a) {
  const std::string at = std::string(a.name) + ".";
  const auto count = [&](const char* key, std::size_t n) {
    file.metadata(at + key, static_cast<std::uint32_t>(n));
  };
  const auto real = [&](const char* key, double x) {
    file.metadata(at + key, static_cast<float>(x));
  };
  file.metadata("general.architecture", a.name);
  count("vocab_size", c.vocab_size);
  count("context_length", c.max_position_embeddings);
  count("embedding_length", c.hidden_size);
  count("block_count", c.num_hidden_layers);
  count("feed_forward_length", c.intermediate_size);
  count("attention.head_count", c.num_attention_heads);
  count("attention.head_count_kv", c.num_key_value_heads);
  count("attention.key_length", c.head_dim);
  count("attention.value_length", c.head_dim);
  real("attention.layer_norm_rms_epsilon", c.rms_norm_eps);
  count("rope.dimension_count", c.head_dim);
  real("rope.freq_base", c.rope_theta);
  if (!c.sliding_layers.empty()) {
    count("attention.sliding_window", c.sliding_window);
    count("attention.sliding_window_pattern", detail::window_period(c));
    real("rope.freq_base_swa", c.rope_local_theta != 0 ? c.rope_local_theta : c.rope_theta);
  }
  if (c.sub_ln == norm_placement::all) file.metadata(gguf_quantizer_eps, c.quantizer_eps);
  if (c.rope_scaling.kind ==
      rope_scaling_kind::llama3)  // the divisors are in the tensor gguf_rope_factors
    count("rope.scaling.original_context_length", c.rope_scaling.original_positions);
  if (c.rope_scaling.kind == rope_scaling_kind::linear) {
    file.metadata(at + "rope.scaling.type", "linear");
    real("rope.scaling.factor", c.rope_scaling.factor);
  }
}

}  // namespace tern::inline TERN_ABI
