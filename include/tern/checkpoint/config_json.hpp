// model_config from and to a Hugging Face config.json. Options that would change the result and are
// not understood are refused; other unknown keys are ignored. What tern adds stands under "tern"
// and "quantization_config".
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "tern/checkpoint/quantization_config.hpp"
#include "tern/checkpoint/rope_json.hpp"
#include "tern/core/differing_fields.hpp"
#include "tern/json/json_fields.hpp"
#include "tern/json/read_fields.hpp"
#include "tern/json/read_json.hpp"
#include "tern/json/write_fields.hpp"
#include "tern/model/config.hpp"
#include "tern/model/config_fields.hpp"
#include "tern/model/model_family.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// Whether "architectures" names a class of transformers that has no head, such as Qwen3Model.
inline bool is_headless(const std::vector<std::string>& classes) {
  return !classes.empty() &&
         std::ranges::all_of(classes, [](const auto& name) { return name.ends_with("Model"); });
}

/// The family that "model_type" names, or "architectures" where that is missing. Both must fit; a
/// class without a head fits every "model_type".
inline const model_family& family_of(const json_fields& f) {
  const bool named = f.has("model_type");
  const auto type = named ? f.get<std::string>("model_type") : std::string();
  const auto classes =
      f.has("architectures") ? f.list<std::string>("architectures") : std::vector<std::string>();
  std::string types, expected;
  for (const model_family& family : model_families()) {
    const bool fits = std::ranges::count(classes, family.architecture) > 0;
    if (named ? type == family.defaults.model_type : fits) {
      if (!classes.empty() && !fits && !is_headless(classes))
        f.fail("architectures", family.architecture, classes.front());
      return family;
    }
    types.append(types.empty() ? "one of " : ", ").append(family.defaults.model_type);
    expected.append(expected.empty() ? "one of " : ", ").append(family.architecture);
  }
  if (named) f.fail("model_type", types, type);
  f.fail("architectures", expected, classes.empty() ? "nothing" : classes.front());
}

inline void refuse_unsupported(const json_fields& f) {
  for (const char* key : {"attn_logit_softcapping", "final_logit_softcapping"})
    if (f.has(key)) f.fail(key, "null", "a cap");
  for (const char* key : {"mlp_bias", "use_bidirectional_attention"})
    if (f.get_or<bool>(key, false)) f.fail(key, "false", "true");
}

/// Which layers have a window, and how wide it is. A family in which the key "use_sliding_window"
/// decides has no windows where "sliding_window" is null.
inline void read_windows(const json_fields& f, const model_family& family, model_config& c) {
  const bool unlimited = family.full_every == 0 && f.is_null("sliding_window");
  const bool windows = f.get_or<bool>("use_sliding_window", family.full_every != 0) && !unlimited;
  std::vector<bool> sliding(c.num_hidden_layers);
  if (f.has("layer_types")) {
    const auto types = f.list<std::string>("layer_types");
    if (types.size() != sliding.size())
      f.fail("layer_types", std::to_string(sliding.size()) + " of them, one a layer",
             std::to_string(types.size()));
    for (std::size_t i = 0; i < types.size(); ++i) {
      sliding[i] = types[i] == "sliding_attention";
      if (!sliding[i] && types[i] != "full_attention")
        f.fail("layer_types", "full_attention or sliding_attention", types[i]);
    }
  } else if (windows && family.full_every != 0) {
    const auto every = f.positive_or("sliding_window_pattern", family.full_every);
    for (std::size_t i = 0; i < sliding.size(); ++i) sliding[i] = (i + 1) % every != 0;
  } else if (windows) {
    for (std::size_t i = f.get_or<std::size_t>("max_window_layers", 28); i < sliding.size(); ++i)
      sliding[i] = true;
  }
  if (std::ranges::count(sliding, true) == 0) return;
  if (!windows)
    f.fail("layer_types",
           std::string("full_attention where ") +
               (unlimited ? "sliding_window is null" : "use_sliding_window is false"),
           "others");
  constexpr std::size_t usual = 4096;  // of transformers, where the key is missing
  if (f.is_null("sliding_window")) f.fail("sliding_window", "a positive integer", "null");
  c.sliding_window =
      f.positive_or("sliding_window", c.sliding_window == 0 ? usual : c.sliding_window);
  c.sliding_layers = std::move(sliding);
}

inline void read_sizes(const json_fields& f, const model_family& family, model_config& c) {
  c.vocab_size = f.positive("vocab_size");
  c.hidden_size = f.positive("hidden_size");
  c.intermediate_size = f.positive("intermediate_size");
  c.num_hidden_layers = f.positive("num_hidden_layers");
  constexpr std::size_t most_layers =
      65536;  // lists with an entry for each layer are made before any weight is seen
  if (c.num_hidden_layers > most_layers)
    f.fail("num_hidden_layers", "at most " + std::to_string(most_layers),
           std::to_string(c.num_hidden_layers));
  c.num_attention_heads = f.positive("num_attention_heads");
  c.num_key_value_heads = f.positive_or("num_key_value_heads", c.num_attention_heads);
  c.head_dim = f.positive_or(
      "head_dim", family.head_dim != 0 ? family.head_dim : c.hidden_size / c.num_attention_heads);
  c.max_position_embeddings = f.positive_or("max_position_embeddings", c.max_position_embeddings);
}

/// The configuration that Hugging Face's keys describe, without "quantization_config".
inline model_config hugging_face_config(const json_fields& f) {
  const model_family& family = family_of(f);
  model_config c = family.defaults;
  refuse_unsupported(f);
  read_sizes(f, family, c);
  c.rms_norm_eps = f.get_or<double>("rms_norm_eps", c.rms_norm_eps);
  if (!(c.rms_norm_eps >= 0)) f.fail("rms_norm_eps", "0 or more", f.shown("rms_norm_eps"));
  if (c.sub_ln != norm_placement::none) c.sub_ln_eps = c.rms_norm_eps;  // the family has sub-norms
  c.initializer_range = f.get_or<double>("initializer_range", c.initializer_range);
  c.query_pre_attn_scalar = f.positive_or("query_pre_attn_scalar", c.query_pre_attn_scalar);
  c.tie_word_embeddings = f.get_or<bool>("tie_word_embeddings", c.tie_word_embeddings);
  if (f.has("architectures") && is_headless(f.list<std::string>("architectures")))
    c.tie_word_embeddings = true;  // there is no other head than the embedding
  // Where the family leaves biases to this key, it means those of o_proj, too.
  if (!family.defaults.attention_bias)
    c.attention_bias = c.output_bias = f.get_or<bool>("attention_bias", false);
  if (f.has(family.activation_key))
    c.hidden_act = f.choice(family.activation_key, activation_names);
  read_windows(f, family, c);
  read_rope(f, c);
  return c;
}

/// Reads the object "tern": fields that Hugging Face's keys do not say, under their names in the
/// list of fields.
inline void read_own(const json_fields& f, model_config& c) {
  if (!f.has("tern")) return;
  const json_fields own = f.object("tern");
  const bool packed = c.ternary;
  c.ternary = false;
  c.quantizer_eps = 0;
  read_fields(c, own);
  if (packed && !c.ternary) own.fail("ternary", "true beside quantization_config", "false");
}

/// Writes Hugging Face's keys. Throws config_error where model_type is none of model_families().
inline nlohmann::json hugging_face_json(const model_config& c, const std::string& storage_dtype) {
  const model_family* family = find_family(c.model_type);
  if (family == nullptr) throw config_error("config: unknown model_type '" + c.model_type + "'");
  nlohmann::json j = {
      {"architectures", {family->architecture}},
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
      {"initializer_range", c.initializer_range},
      {family->activation_key, name_of(c.hidden_act, activation_names)},
      {"attention_bias", c.attention_bias},
      {"tie_word_embeddings", c.tie_word_embeddings},
      {"torch_dtype", storage_dtype},
  };
  if (c.query_pre_attn_scalar != 0) j["query_pre_attn_scalar"] = c.query_pre_attn_scalar;
  if (!c.sliding_layers.empty() || family->full_every != 0) {
    j["use_sliding_window"] = true;
    j["sliding_window"] = c.sliding_window;
    for (std::size_t i = 0; i < c.num_hidden_layers; ++i)
      j["layer_types"].push_back(c.sliding(i) ? "sliding_attention" : "full_attention");
  }
  write_rope(c, j);
  return j;
}

}  // namespace detail

/// The configuration of a config.json. Throws config_error naming `file` and the key.
inline model_config model_config_from_json(const nlohmann::json& json, const std::string& file) {
  const json_fields f(json, file);
  model_config c = detail::hugging_face_config(f);
  apply_quantization(f, c);
  detail::read_own(f, c);
  try {
    c.validate();
  } catch (const config_error& e) {
    throw config_error(file + ": " + e.what());
  }
  return c;
}

/// Reads a config.json. Throws io_error, format_error or config_error naming the file.
inline model_config read_model_config(const std::filesystem::path& path) {
  return model_config_from_json(read_json(path), path.string());
}

/// Paths of the fields that Hugging Face's keys do not say: how stage 1 was applied, where the
/// model departs from its family, and any field that hugging_face_json() does not write.
inline std::vector<std::string> fields_unknown_to_hugging_face(const model_config& c) {
  const auto keys = detail::hugging_face_json(c, "");
  return differing_fields(c, detail::hugging_face_config({keys, "config.json"}));
}

/// The config.json of a model. `storage_dtype` is the type of the weights beside it, see
/// torch_name(). Every field comes back: those that Hugging Face's keys do not say stand in an
/// object "tern". Throws config_error where model_type is none of model_families().
inline nlohmann::json to_json(const model_config& c, const std::string& storage_dtype) {
  nlohmann::json j = detail::hugging_face_json(c, storage_dtype);
  std::vector<std::string> own = fields_unknown_to_hugging_face(c);
  if (c.ternary || c.sub_ln != norm_placement::none || !own.empty())
    own.insert(own.end(), {"ternary", "sub_ln", "sub_ln_eps"});
  if (own.empty()) return j;
  const nlohmann::json all = write_fields(c);
  for (const std::string& path : own) {
    const std::string key = path.substr(0, path.find('.'));
    j["tern"][key] = all.at(key);
  }
  return j;
}

}  // namespace tern::inline TERN_ABI
