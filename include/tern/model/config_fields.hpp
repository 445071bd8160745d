// The one list of the fields of model_config, under their names in files, and the names of its
// enums' values. Reading, writing and comparing use it, see core/describe.hpp.
#pragma once

#include "tern/core/describe.hpp"
#include "tern/model/config.hpp"

namespace tern::inline TERN_ABI {

/// The names of "hidden_act".
inline constexpr enum_names<activation> activation_names = {
    {"silu", activation::silu},          {"swish", activation::silu},
    {"gelu", activation::gelu},          {"gelu_pytorch_tanh", activation::gelu_tanh},
    {"gelu_new", activation::gelu_tanh}, {"relu2", activation::relu2}};

/// The names of "sub_ln".
inline constexpr enum_names<norm_placement> norm_placement_names = {
    {"none", norm_placement::none}, {"subln", norm_placement::subln}, {"all", norm_placement::all}};

/// The names of "learned_scales".
inline constexpr enum_names<scale_granularity> scale_granularity_names = {
    {"none", scale_granularity::none},
    {"tensor", scale_granularity::tensor},
    {"row", scale_granularity::row},
    {"group", scale_granularity::group}};

/// The names of "rope_type".
inline constexpr enum_names<rope_scaling_kind> rope_scaling_names = {
    {"default", rope_scaling_kind::none},
    {"linear", rope_scaling_kind::linear},
    {"llama3", rope_scaling_kind::llama3}};

/// Shows the fields of rope_scaling; see core/describe.hpp.
template <class V>
constexpr void describe(V& v, rope_scaling& s) {
  v.choice("rope_type", s.kind, rope_scaling_names);
  v.value("factor", s.factor);
  v.value("low_freq_factor", s.low_freq_factor);
  v.value("high_freq_factor", s.high_freq_factor);
  v.value("original_max_position_embeddings", s.original_positions);
}
static_assert(describes_all_members<rope_scaling>(), "describe() leaves out a member");

/// The fields that are chosen for a new model: all but the vocabulary, which comes from the
/// tokenizer, and stage 1, which is applied to a model that exists.
template <class V>
constexpr void describe_architecture(V& v, model_config& c) {
  v.value("model_type", c.model_type);
  v.value("hidden_size", c.hidden_size);
  v.value("intermediate_size", c.intermediate_size);
  v.value("num_hidden_layers", c.num_hidden_layers);
  v.value("num_attention_heads", c.num_attention_heads);
  v.value("num_key_value_heads", c.num_key_value_heads);
  v.value("head_dim", c.head_dim);
  v.value("max_position_embeddings", c.max_position_embeddings);
  v.value("rope_theta", c.rope_theta);
  v.value("initializer_range", c.initializer_range);
  v.value("rms_norm_eps", c.rms_norm_eps);
  v.value("attention_bias", c.attention_bias);
  v.value("qk_norm", c.qk_norm);
  v.value("tie_word_embeddings", c.tie_word_embeddings);
  v.choice("hidden_act", c.hidden_act, activation_names);
  v.value("output_bias", c.output_bias);
  v.value("unit_offset", c.unit_offset);
  v.value("output_norms", c.output_norms);
  v.value("scaled_embedding", c.scaled_embedding);
  v.object("rope_scaling", c.rope_scaling);
  v.value("rope_local_theta", c.rope_local_theta);
  v.value("sliding_layers", c.sliding_layers);
  v.value("sliding_window", c.sliding_window);
  v.value("query_pre_attn_scalar", c.query_pre_attn_scalar);
}

/// Shows the fields of model_config; see core/describe.hpp.
template <class V>
constexpr void describe(V& v, model_config& c) {
  v.value("vocab_size", c.vocab_size);
  describe_architecture(v, c);
  v.value("ternary", c.ternary);
  v.choice("weight_quantizer", c.weight_quantizer, weight_policy_names);
  v.choice("sub_ln", c.sub_ln, norm_placement_names);
  v.value("sub_ln_eps", c.sub_ln_eps);
  v.choice("learned_scales", c.learned_scales, scale_granularity_names);
  v.value("scale_group", c.scale_group);
  v.value("quantizer_eps", c.quantizer_eps);
}
static_assert(describes_all_members<model_config>(), "describe() leaves out a member");

}  // namespace tern::inline TERN_ABI
