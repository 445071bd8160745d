// What a decoder is made of: the fields of a Hugging Face config.json that tern understands, and
// how far stage 1 of BitDistill has been applied to it.
#pragma once

#include <cstddef>
#include <string>

#include "tern/core/error.hpp"
#include "tern/nn/feed_forward.hpp"

namespace tern::inline TERN_ABI {

/// Where stage 1 puts an RMSNorm with a gain directly before quantized linears.
enum class norm_placement {
  none,
  subln,  ///< before o_proj and down_proj: the paper, and the default of surgery
  all,    ///< before every quantized linear: the official code's configuration
};

/// Architecture of a decoder (Qwen3 names; all sizes in elements).
struct model_config {
  std::string model_type = "qwen3";
  std::size_t vocab_size = 0, hidden_size = 0, intermediate_size = 0;
  std::size_t num_hidden_layers = 0, num_attention_heads = 0, num_key_value_heads = 0;
  std::size_t head_dim = 0, max_position_embeddings = 2048;
  double rms_norm_eps = 1e-6, rope_theta = 1e6, initializer_range = 0.02;
  activation hidden_act = activation::silu;
  bool attention_bias = false, qk_norm = true, tie_word_embeddings = true;

  // Stage 1 (surgery.hpp).
  bool ternary = false;  ///< the linears of all blocks are quantized in the forward pass
  norm_placement sub_ln = norm_placement::none;
  double sub_ln_eps = 1e-5;

  [[nodiscard]] std::size_t q_width() const { return num_attention_heads * head_dim; }
  [[nodiscard]] std::size_t kv_width() const { return num_key_value_heads * head_dim; }

  /// Throws config_error where sizes are missing or contradict one another.
  void validate() const {
    const auto positive = [](std::size_t n, const char* key) {
      if (n == 0) throw config_error(std::string("config: ") + key + " must be positive");
    };
    positive(vocab_size, "vocab_size");
    positive(hidden_size, "hidden_size");
    positive(intermediate_size, "intermediate_size");
    positive(num_hidden_layers, "num_hidden_layers");
    positive(num_attention_heads, "num_attention_heads");
    positive(num_key_value_heads, "num_key_value_heads");
    positive(max_position_embeddings, "max_position_embeddings");
    if (head_dim == 0 || head_dim % 2 != 0)
      throw config_error("config: head_dim must be positive and even, got " +
                         std::to_string(head_dim));
    if (num_attention_heads % num_key_value_heads != 0)
      throw config_error("config: num_attention_heads (" + std::to_string(num_attention_heads) +
                         ") must be a multiple of num_key_value_heads (" +
                         std::to_string(num_key_value_heads) + ")");
  }
};

}  // namespace tern::inline TERN_ABI
