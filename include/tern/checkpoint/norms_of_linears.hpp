// Norms before every linear, as BitDistill's own code and the models made with it store them: each
// linear has a norm inside, "layers.0.self_attn.q_proj.norm.weight", and no key of config.json says
// so.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "tern/checkpoint/quantization_config.hpp"
#include "tern/core/error.hpp"
#include "tern/io/safetensors_shards.hpp"
#include "tern/model/config.hpp"

namespace tern::inline TERN_ABI::detail {

/// How the name of such a norm ends. The parameter of the model ends in model_norm_of_linear.
inline constexpr std::string_view stored_norm_of_linear = "_proj.norm.weight";
inline constexpr std::string_view model_norm_of_linear = "_proj.rms_norm.weight";

/// Applies what the names of a folder's tensors say to its configuration: where linears have norms
/// inside, there is one before every linear, with the eps of the model, and the linears are
/// ternary. Their weights are masters, which are rounded as in models of transformers. Throws
/// config_error where config.json puts norms elsewhere.
inline void apply_norms_of_linears(const safetensors_shards& files, model_config& c) {
  const auto names = files.names();
  const auto found = std::ranges::find_if(
      names, [](const std::string& name) { return name.ends_with(stored_norm_of_linear); });
  if (found == names.end() || c.sub_ln == norm_placement::all) return;
  if (c.sub_ln != norm_placement::none)
    throw config_error(files.path().string() + ": tensor '" + *found +
                       "' is a norm before a linear, but config.json has norms at other places");
  c.sub_ln = norm_placement::all;
  c.sub_ln_eps = c.rms_norm_eps;
  c.ternary = true;
  if (c.quantizer_eps == 0) c.quantizer_eps = bitnet_quantizer_eps;
}

/// Gives the norms inside linears the names of the model's parameters.
inline void rename_norms_of_linears(safetensors_shards& files) {
  for (const std::string& name : files.names())
    if (name.ends_with(stored_norm_of_linear))
      files.rename(name, name.substr(0, name.size() - stored_norm_of_linear.size()) +
                             std::string(model_norm_of_linear));
}

}  // namespace tern::inline TERN_ABI::detail
