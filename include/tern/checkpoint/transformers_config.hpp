// The configuration under which Hugging Face transformers computes what a deployed model computes.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "tern/checkpoint/config_json.hpp"
#include "tern/checkpoint/unheld_fields.hpp"
#include "tern/core/error.hpp"
#include "tern/model/config.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// Fields that a deployed folder may say in the object "tern", which transformers ignores. It obeys
/// the first two through "quantization_config". The next six change which tensors there are, so
/// that it warns of those that it misses or does not expect. The others come back to tern alone.
inline constexpr std::array<std::string_view, 17> deployed_fields{
    "ternary",         "quantizer_eps",         "sub_ln",         "sub_ln_eps",
    "qk_norm",         "attention_bias",        "output_bias",    "output_norms",
    "unit_offset",     "scaled_embedding",      "rope_scaling",   "rope_local_theta",
    "sliding_window",  "query_pre_attn_scalar", "learned_scales", "scale_group",
    "weight_quantizer"};

/// Whether the class BitNetForCausalLM of transformers computes the model: one eps serves all
/// norms, attention is as wide as the hidden states, and nothing is left that its keys do not say.
inline bool is_bitnet_of_transformers(model_config c) {
  c.model_type = "bitnet";
  if (c.attention_bias || c.q_width() != c.hidden_size || !c.sliding_layers.empty()) return false;
  for (const std::string& field : fields_unknown_to_hugging_face(c))
    if (field != "ternary" && field != "quantizer_eps") return false;
  return true;
}

}  // namespace detail

/// The configuration under which a deployed model is written: a ternary Llama with SubLN becomes
/// `bitnet`, the name by which transformers computes it. Throws config_error naming the fields that
/// a deployed folder cannot hold.
inline model_config transformers_config(model_config c) {
  const bool sub_ln = c.ternary && c.sub_ln == norm_placement::subln;
  if (c.model_type == "llama" && sub_ln && detail::is_bitnet_of_transformers(c))
    c.model_type = "bitnet";
  const auto lost = unheld_fields(fields_unknown_to_hugging_face(c), detail::deployed_fields);
  if (!lost.empty())
    throw config_error("a deployed folder cannot hold " + listed(lost) +
                       " of this model; save it packed or as masters");
  return c;
}

}  // namespace tern::inline TERN_ABI
