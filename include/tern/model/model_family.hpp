// The families of models that are known by name. A row says what the name of a family alone means,
// which its config.json does not repeat. A new family is a new row, and a new field of model_config
// where it computes something new.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tern/model/config.hpp"

namespace tern::inline TERN_ABI {

/// One family.
struct model_family {
  const char* architecture;  ///< name of Hugging Face's class, in "architectures"
  /// The family's "model_type" and flags, and the values of keys that a config.json leaves out.
  model_config defaults;
  const char* activation_key = "hidden_act";  ///< key of hidden_act
  /// Which layers have a window, where "layer_types" does not say it: all but every n-th layer. 0:
  /// all but the first "max_window_layers".
  std::size_t full_every = 0;
  std::size_t head_dim = 0;  ///< where no key says it; 0: hidden_size / num_attention_heads
};

/// All families that can be read. No two have the same `architecture`.
inline const std::vector<model_family>& model_families() {
  static const std::vector<model_family> families{
      {"Qwen3ForCausalLM",
       {.model_type = "qwen3",
        .max_position_embeddings = 32768,
        .rope_theta = 1e4,
        .tie_word_embeddings = false},
       "hidden_act",
       0,
       128},
      {"Qwen2ForCausalLM",
       {.model_type = "qwen2",
        .max_position_embeddings = 32768,
        .rope_theta = 1e4,
        .attention_bias = true,
        .qk_norm = false,
        .tie_word_embeddings = false}},
      {"LlamaForCausalLM",
       {.model_type = "llama", .rope_theta = 1e4, .qk_norm = false, .tie_word_embeddings = false}},
      {"Gemma3ForCausalLM",
       {.model_type = "gemma3_text",
        .max_position_embeddings = 131072,
        .hidden_act = activation::gelu_tanh,
        .unit_offset = true,
        .output_norms = true,
        .scaled_embedding = true,
        .rope_local_theta = 1e4,
        .sliding_window = 4096,
        .query_pre_attn_scalar = 256},
       "hidden_activation",
       6,
       256},
      {"BitNetForCausalLM",
       {.model_type = "bitnet",
        .rms_norm_eps = 1e-5,
        .rope_theta = 5e5,
        .hidden_act = activation::relu2,
        .qk_norm = false,
        .tie_word_embeddings = false,
        .sub_ln = norm_placement::subln}}};
  return families;
}

/// The family of a "model_type", or null where there is none.
inline const model_family* find_family(const std::string& model_type) {
  for (const model_family& family : model_families())
    if (family.defaults.model_type == model_type) return &family;
  return nullptr;
}

}  // namespace tern::inline TERN_ABI
