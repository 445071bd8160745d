// RoPE in a config.json: the keys "rope_theta" and "rope_scaling", or "rope_parameters" of
// transformers 5, an object that Gemma 3 has for each kind of layer.
#pragma once

#include <string>

#include "tern/core/all_finite.hpp"
#include "tern/json/json_fields.hpp"
#include "tern/model/config.hpp"
#include "tern/model/config_fields.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// Reads the rule of scaling. `trained`: max_position_embeddings, which replaces a missing original
/// length.
inline rope_scaling read_rope_scaling(const json_fields& f, std::size_t trained) {
  rope_scaling s;
  if (f.get_or<double>("partial_rotary_factor", 1) != 1)
    f.fail("partial_rotary_factor", "1", "less");
  const char* key = f.has("rope_type") ? "rope_type" : "type";  // the key of older files
  if (f.has(key)) s.kind = f.choice(key, rope_scaling_names);
  if (s.kind == rope_scaling_kind::none) return s;
  s.factor = f.get<double>("factor");
  if (s.kind == rope_scaling_kind::linear) return s;
  s.low_freq_factor = f.get<double>("low_freq_factor");
  s.high_freq_factor = f.get<double>("high_freq_factor");
  s.original_positions = f.positive_or("original_max_position_embeddings", trained);
  return s;
}

/// A base of the frequencies, or `fallback` where the key is missing.
inline double read_rope_base(const json_fields& f, const char* key, double fallback) {
  const double base = f.get_or<double>(key, fallback);
  if (f.has(key) && !(base > 0 && is_finite(base))) f.fail(key, "a positive number", f.shown(key));
  return base;
}

}  // namespace detail

/// Reads base and scaling in either form. Where a file has several of the keys, the result is that
/// of transformers 5: a `rope_theta` beside the rule wins over one at the top, which wins over the
/// family's; a `rope_scaling` that is not empty replaces `rope_parameters`. Throws config_error for
/// a rule that is not understood, for a base that is not positive, and for a Gemma 3 that has rules
/// in both forms or one rule for all layers, of which transformers would use a part.
inline void read_rope(const json_fields& f, model_config& c) {
  if (f.get_or<double>("partial_rotary_factor", 1) != 1)
    f.fail("partial_rotary_factor", "1", "less");
  c.rope_theta = detail::read_rope_base(f, "rope_theta", c.rope_theta);
  c.rope_local_theta = detail::read_rope_base(f, "rope_local_base_freq", c.rope_local_theta);
  const bool scaling = f.has("rope_scaling") && !f.object("rope_scaling").empty();
  const bool parameters = f.has("rope_parameters") && !f.object("rope_parameters").empty();
  if (!scaling && !parameters) return;
  json_fields rope = f.object(scaling ? "rope_scaling" : "rope_parameters");
  if (c.rope_local_theta != 0) {  // the family has a rule for each kind of layer
    if (scaling && parameters)
      f.fail("rope_scaling", "nothing beside rope_parameters", "a second rule");
    if (parameters && !rope.has("full_attention") && !rope.has("sliding_attention"))
      f.fail("rope_parameters", "a rule for each kind of layer", "one for all");
    if (rope.has("sliding_attention")) {
      const json_fields local = rope.object("sliding_attention");
      c.rope_local_theta = detail::read_rope_base(local, "rope_theta", c.rope_local_theta);
      if (detail::read_rope_scaling(local, 0).kind != rope_scaling_kind::none)
        local.fail("rope_type", "default", "a scaling rule");
    }
  }
  if (rope.has("full_attention")) rope = rope.object("full_attention");
  c.rope_theta = detail::read_rope_base(rope, "rope_theta", c.rope_theta);
  c.rope_scaling = detail::read_rope_scaling(rope, c.max_position_embeddings);
}

/// Writes them in the older form, which every version of transformers reads.
inline void write_rope(const model_config& c, nlohmann::json& j) {
  j["rope_theta"] = c.rope_theta;
  if (c.rope_local_theta != 0) j["rope_local_base_freq"] = c.rope_local_theta;
  const rope_scaling& s = c.rope_scaling;
  if (s.kind == rope_scaling_kind::none) return;
  j["rope_scaling"] = {{"rope_type", name_of(s.kind, rope_scaling_names)}, {"factor", s.factor}};
  if (s.kind == rope_scaling_kind::linear) return;
  j["rope_scaling"]["low_freq_factor"] = s.low_freq_factor;
  j["rope_scaling"]["high_freq_factor"] = s.high_freq_factor;
  j["rope_scaling"]["original_max_position_embeddings"] = s.original_positions;
}

}  // namespace tern::inline TERN_ABI
