// The "quantization_config" of a config.json: how ternary weights are stored, in the three
// conventions of Hugging Face's `bitnet` checkpoints or as the library's own packed bytes.
#pragma once

#include <optional>
#include <string>

#include "tern/json/json_fields.hpp"
#include "tern/model/config.hpp"

namespace tern::inline TERN_ABI {

/// How a file stores a ternary weight.
enum class bitnet_weights {
  masters,   ///< floats, made ternary in the forward pass: autobitlinear, online
  multiply,  ///< packed codes and a scale, mean|W|: autobitlinear, offline
  divide,    ///< packed codes and an inverse scale, 1 / mean|W|: bitlinear
  own,       ///< bytes of pack/packed_bytes.hpp: "quant_method": "tern"
};

/// The `eps` of the quantizers for models of transformers, which divides by max(x, 1e-5) where the
/// definition has x + 1e-5. It is so small that the sum changes nothing.
inline constexpr double bitnet_quantizer_eps = 1e-30;

/// How a config.json says that weights are stored; nothing where it has no quantization_config.
/// Throws config_error for another method, and where not all linears of the layers are quantized.
inline std::optional<bitnet_weights> read_bitnet_weights(const json_fields& config) {
  if (!config.has("quantization_config")) return {};
  const json_fields q = config.object("quantization_config");
  const auto method = q.get<std::string>("quant_method");
  if (method == "tern") return bitnet_weights::own;
  if (method != "bitnet") q.fail("quant_method", "bitnet or tern", method);
  if (q.has("modules_to_not_convert"))
    for (const auto& name : q.list<std::string>("modules_to_not_convert"))
      if (name != "lm_head" && name != "embed_tokens" && name != "model.embed_tokens")
        q.fail("modules_to_not_convert", "lm_head or embed_tokens alone", name);
  const bool automatic =
      q.has("linear_class") &&
      q.choice<bool>("linear_class", {{"bitlinear", false}, {"autobitlinear", true}});
  const bool online = q.has("quantization_mode") &&
                      q.choice<bool>("quantization_mode", {{"offline", false}, {"online", true}});
  if (!automatic) return bitnet_weights::divide;
  return online ? bitnet_weights::masters : bitnet_weights::multiply;
}

/// Applies a quantization_config to the rest of the configuration.
inline void apply_quantization(const json_fields& config, model_config& c) {
  const auto kind = read_bitnet_weights(config);
  if (!kind || kind == bitnet_weights::own) return;  // the object "tern" says all of it
  const json_fields q = config.object("quantization_config");
  c.ternary = true;
  c.quantizer_eps = bitnet_quantizer_eps;
  if (!q.get_or<bool>("use_rms_norm", false)) return;
  if (c.sub_ln != norm_placement::none) q.fail("use_rms_norm", "false in this family", "true");
  c.sub_ln = norm_placement::all;
  c.sub_ln_eps = q.get_or<double>("rms_norm_eps", 1e-6);
}

/// The quantization_config of packed weights as save_model writes them. Their convention is
/// `bitlinear`, because it adds biases as they are and transformers loads it in any dtype.
inline nlohmann::json bitnet_quantization(const model_config& c) {
  nlohmann::json q = {{"quant_method", "bitnet"},
                      {"linear_class", "bitlinear"},
                      {"modules_to_not_convert", {"lm_head"}}};
  if (c.sub_ln == norm_placement::all) {
    q["use_rms_norm"] = true;
    q["rms_norm_eps"] = c.sub_ln_eps;
  }
  return q;
}

}  // namespace tern::inline TERN_ABI
