// The configuration of a decoder: the fields of a Hugging Face config.json that tern understands,
// and what stage 1 of BitDistill has done to it.
#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "tern/core/all_finite.hpp"
#include "tern/core/error.hpp"
#include "tern/nn/feed_forward.hpp"
#include "tern/nn/rope.hpp"
#include "tern/quant/chosen_quantizer.hpp"
#include "tern/quant/quantizer.hpp"

namespace tern::inline TERN_ABI {

/// Where stage 1 puts an RMSNorm with a gain directly before quantized linears.
enum class norm_placement {
  none,
  subln,  ///< before o_proj and down_proj: the paper, and the default of surgery
  all,    ///< before every quantized linear: the official code's configuration
};

/// How many ternary weights share a scale that is a parameter of the model.
enum class scale_granularity {
  none,    ///< scales are no parameters; the weight quantizer computes them from the weights
  tensor,  ///< one scale for a matrix
  row,     ///< one scale for each output row
  group,   ///< one scale for every scale_group columns of a row
};

/// Architecture of a decoder, under Hugging Face's names; all sizes are in elements. The defaults
/// are those of Qwen3, model_family.hpp has what other families change. A new field goes into the
/// list of fields, config_fields.hpp, too.
struct model_config {
  std::string model_type = "qwen3";            ///< family: a row of model_family.hpp
  std::size_t vocab_size = 0;                  ///< number of tokens
  std::size_t hidden_size = 0;                 ///< width of a hidden state
  std::size_t intermediate_size = 0;           ///< width between up_proj and down_proj
  std::size_t num_hidden_layers = 0;           ///< number of layers
  std::size_t num_attention_heads = 0;         ///< number of heads of Q
  std::size_t num_key_value_heads = 0;         ///< number of heads of K and of V
  std::size_t head_dim = 0;                    ///< width of a head
  std::size_t max_position_embeddings = 2048;  ///< longest context, in tokens
  double rms_norm_eps = 1e-6;                  ///< eps of every norm but those of stage 1
  double rope_theta = 1e6;                     ///< base of RoPE
  double initializer_range = 0.02;             ///< standard deviation of new weights
  activation hidden_act = activation::silu;    ///< activation of the gate
  bool attention_bias = false;                 ///< q, k and v have biases
  bool qk_norm = true;                         ///< every head of q and k has a norm
  bool tie_word_embeddings = true;             ///< the embedding is the head, too

  bool output_bias = false;           ///< o_proj has a bias
  bool unit_offset = false;           ///< norms multiply by 1 + weight, those of stage 1 by weight
  bool output_norms = false;          ///< there are norms behind attention and feed-forward, too
  bool scaled_embedding = false;      ///< embeddings are multiplied by sqrt(hidden_size)
  tern::rope_scaling rope_scaling{};  ///< scaling of RoPE in layers without a window
  double rope_local_theta = 0;  ///< base of RoPE in layers with a window; 0: that of the others
  std::vector<bool> sliding_layers{};     ///< which layers have a window; empty: none
  std::size_t sliding_window = 0;         ///< tokens that such a layer sees, with the current one
  std::size_t query_pre_attn_scalar = 0;  ///< scores are divided by its root; 0: that of head_dim

  // Stage 1 (surgery.hpp).
  bool ternary = false;  ///< the linears of all layers are quantized in the forward pass
  /// What rounds their weights, unless scales are parameters or the decoder has a policy of its
  /// own.
  weight_policy weight_quantizer = weight_policy::absmean;
  norm_placement sub_ln = norm_placement::none;                ///< where stage 1 put norms
  double sub_ln_eps = 1e-5;                                    ///< eps of those norms
  scale_granularity learned_scales = scale_granularity::none;  ///< scales that are parameters
  std::size_t scale_group = 0;  ///< columns of a group of learned_scales; 0: there are no groups
  double quantizer_eps = 0;     ///< `eps` of the quantizer policies; 0: the one they have

  /// The width of all heads of q, and of those of k or of v.
  [[nodiscard]] std::size_t q_width() const { return num_attention_heads * head_dim; }
  [[nodiscard]] std::size_t kv_width() const { return num_key_value_heads * head_dim; }

  /// Whether attention of the layer has a window.
  [[nodiscard]] bool sliding(std::size_t layer) const {
    return !sliding_layers.empty() && sliding_layers[layer];
  }
  /// Norms multiply by weight plus this number.
  [[nodiscard]] double norm_offset() const { return unit_offset ? 1 : 0; }
  /// Embeddings are multiplied by this number.
  [[nodiscard]] double embedding_scale() const {
    return scaled_embedding ? std::sqrt(static_cast<double>(hidden_size)) : 1;
  }

  /// The factor of attention scores; 0 stands for 1/sqrt(head_dim).
  [[nodiscard]] double attention_scale() const {
    return query_pre_attn_scalar == 0 ? 0
                                      : 1 / std::sqrt(static_cast<double>(query_pre_attn_scalar));
  }

  /// The block of weights of a ternary linear (out, in) that shares a scale.
  [[nodiscard]] extents scale_block(extents linear) const {
    if (learned_scales == scale_granularity::none)
      return chosen_quantizer{weight_quantizer}.scale_block(linear.rows, linear.cols);
    return {learned_scales == scale_granularity::tensor ? linear.rows : 1,
            learned_scales == scale_granularity::group ? scale_group : linear.cols};
  }

  /// Whether a ternary linear has one scale in all.
  [[nodiscard]] bool has_one_scale() const {
    return scale_block({2, 2}) == extents{2, 2};  // smaller than any group
  }

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
    if (!sliding_layers.empty() && sliding_layers.size() != num_hidden_layers)
      throw config_error("config: " + std::to_string(sliding_layers.size()) +
                         " layer types for num_hidden_layers (" +
                         std::to_string(num_hidden_layers) + ")");
    if (!sliding_layers.empty()) positive(sliding_window, "sliding_window");
    if ((learned_scales == scale_granularity::group) != (scale_group != 0))
      throw config_error("config: scale_group (" + std::to_string(scale_group) +
                         ") must be positive for learned_scales \"group\", and 0 for others");
    if (!(rope_theta > 0 && is_finite(rope_theta)))
      throw config_error("config: rope_theta must be a positive number, got " +
                         std::to_string(rope_theta));
    rope_scaling.validate();
  }
};

}  // namespace tern::inline TERN_ABI
