// model_config from and to a Hugging Face config.json. Unknown keys are the file's own business;
// what tern adds stands under "tern" and "quantization_config".
#pragma once

#include <filesystem>
#include <string>

#include "tern/model/config.hpp"
#include "tern/text/json.hpp"

namespace tern::inline TERN_ABI {

inline constexpr enum_names<activation> activation_names = {
    {"silu", activation::silu},          {"swish", activation::silu},
    {"gelu", activation::gelu},          {"gelu_pytorch_tanh", activation::gelu_tanh},
    {"gelu_new", activation::gelu_tanh}, {"relu2", activation::relu2}};

inline constexpr enum_names<norm_placement> norm_placement_names = {
    {"none", norm_placement::none}, {"subln", norm_placement::subln}, {"all", norm_placement::all}};

/// Throws config_error naming `file` and the key. Family: "qwen3".
inline model_config model_config_from_json(const nlohmann::json& json, const std::string& file) {
  const json_fields f(json, file);
  model_config c;
  c.model_type = f.get<std::string>("model_type");
  if (c.model_type != "qwen3") f.fail("model_type", "qwen3", c.model_type);
  c.vocab_size = f.positive("vocab_size");
  c.hidden_size = f.positive("hidden_size");
  c.intermediate_size = f.positive("intermediate_size");
  c.num_hidden_layers = f.positive("num_hidden_layers");
  c.num_attention_heads = f.positive("num_attention_heads");
  c.num_key_value_heads = f.positive_or("num_key_value_heads", c.num_attention_heads);
  c.head_dim = f.positive_or("head_dim", c.hidden_size / c.num_attention_heads);
  c.max_position_embeddings = f.positive_or("max_position_embeddings", 32768);
  c.rms_norm_eps = f.get_or<double>("rms_norm_eps", 1e-6);
  c.initializer_range = f.get_or<double>("initializer_range", 0.02);
  c.attention_bias = f.get_or<bool>("attention_bias", false);
  c.tie_word_embeddings = f.get_or<bool>("tie_word_embeddings", false);
  if (f.has("hidden_act")) c.hidden_act = f.choice("hidden_act", activation_names);
  // transformers 5 moved the base of RoPE into rope_parameters.
  if (f.has("rope_parameters")) {
    const json_fields rope = f.object("rope_parameters");
    if (rope.get_or<std::string>("rope_type", "default") != "default")
      rope.fail("rope_type", "default", rope.get<std::string>("rope_type"));
    c.rope_theta = rope.get<double>("rope_theta");
  } else {
    c.rope_theta = f.get_or<double>("rope_theta", 10000.0);
  }
  if (f.has("rope_scaling")) f.fail("rope_scaling", "null", "a scaling rule");
  if (f.get_or<bool>("use_sliding_window", false)) f.fail("use_sliding_window", "false", "true");
  if (f.has("tern")) {
    const json_fields own = f.object("tern");
    c.ternary = own.get_or<bool>("ternary", false);
    c.qk_norm = own.get_or<bool>("qk_norm", true);
    c.sub_ln_eps = own.get_or<double>("sub_ln_eps", c.sub_ln_eps);
    if (own.has("sub_ln")) c.sub_ln = own.choice("sub_ln", norm_placement_names);
  }
  c.validate();
  return c;
}

inline model_config read_model_config(const std::filesystem::path& path) {
  return model_config_from_json(read_json(path), path.string());
}

/// `storage_dtype` is what the weights beside it are stored as ("float32", "float64", "float16").
inline nlohmann::json to_json(const model_config& c, const std::string& storage_dtype) {
  nlohmann::json j = {
      {"architectures", {"Qwen3ForCausalLM"}},
      {"model_type", c.model_type},
      {"vocab_size", c.vocab_size},
      {"hidden_size", c.hidden_size},
      {"intermediate_size", c.intermediate_size},
      {"num_hidden_layers", c.num_hidden_layers},
      {"num_attention_heads", c.num_attention_heads},
      {"num_key_value_heads", c.num_key_value_heads},
      {"head_dim", c.head_dim},
      {"max_position_embeddings", c.max_position_embeddings},
      {"rms_norm_eps", c.rms_norm_eps},
      {"rope_theta", c.rope_theta},
      {"initializer_range", c.initializer_range},
      {"hidden_act", name_of(c.hidden_act, activation_names)},
      {"attention_bias", c.attention_bias},
      {"tie_word_embeddings", c.tie_word_embeddings},
      {"torch_dtype", storage_dtype},
  };
  if (c.ternary || c.sub_ln != norm_placement::none || !c.qk_norm)
    j["tern"] = {{"ternary", c.ternary},
                 {"sub_ln", name_of(c.sub_ln, norm_placement_names)},
                 {"sub_ln_eps", c.sub_ln_eps},
                 {"qk_norm", c.qk_norm}};
  return j;
}

}  // namespace tern::inline TERN_ABI
