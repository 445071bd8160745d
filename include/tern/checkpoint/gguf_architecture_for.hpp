// Which architecture of llama.cpp computes what a model computes.
#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/checkpoint/gguf_names.hpp"
#include "tern/checkpoint/unheld_fields.hpp"
#include "tern/core/differing_fields.hpp"
#include "tern/core/error.hpp"
#include "tern/model/config_fields.hpp"
#include "tern/model/model_family.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// Fields that a file of every architecture stores, or that change nothing in the model that is
/// read back. require_fits() looks at the values of some of them. Every other field must have the
/// value of the family.
inline constexpr std::array<std::string_view, 24> gguf_fields{
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
    "rms_norm_eps",
    "tie_word_embeddings",
    "ternary",
    "rope_theta",
    "rope_scaling",
    "rope_local_theta",
    "sliding_layers",
    "sliding_window",
    "query_pre_attn_scalar",
    "sub_ln_eps",
    // The name of the family changes nothing, and initializer_range matters to new weights only.
    // Codes have their scales beside them, wherever these come from. A file has no place for
    // quantizer_eps, so a model that is read back has the default; it matters to rows whose largest
    // magnitude is below it.
    "model_type",
    "initializer_range",
    "learned_scales",
    "scale_group",
    "weight_quantizer",
    "quantizer_eps",
};

/// Fields that only files of `llama` store, which have biases where there are such tensors.
inline constexpr std::array<std::string_view, 2> gguf_llama_fields{"attention_bias", "output_bias"};

/// Paths of the fields of `c` that a file of the architecture would lose.
inline std::vector<std::string> fields_lost_in(const gguf_architecture& a, const model_config& c) {
  model_config family = find_family(std::string(a.model_type))->defaults;
  family.hidden_act = a.hidden_act;
  if (a.norms_of_linears && c.sub_ln == norm_placement::all) family.sub_ln = c.sub_ln;
  std::vector<std::string_view> held(gguf_fields.begin(), gguf_fields.end());
  if (a.name == "llama")
    held.insert(held.end(), gguf_llama_fields.begin(), gguf_llama_fields.end());
  return unheld_fields(differing_fields(c, family), held);
}

[[noreturn]] inline void fail_to_fit(const std::string& what) {
  throw config_error("no GGUF architecture holds this model: " + what +
                     "; a model folder holds it");
}

/// The number n where every n-th layer, and no other, sees the whole context; 0 where the windows
/// follow another rule.
inline std::size_t window_period(const model_config& c) {
  for (std::size_t n = 2; n <= c.num_hidden_layers + 1; ++n) {
    bool same = true;
    for (std::size_t i = 0; i < c.num_hidden_layers; ++i)
      same = same && c.sliding(i) == ((i + 1) % n != 0);
    if (same) return n;
  }
  return 0;
}

/// The number by whose square root llama.cpp divides attention scores.
inline std::size_t gguf_query_scalar(const gguf_architecture& a, const model_config& c) {
  const bool largest_gemma = a.name == "gemma3" && c.num_hidden_layers == 62;
  return largest_gemma ? c.hidden_size / c.num_attention_heads : c.head_dim;
}

/// A number as text, such as "1e-06".
inline std::string shortest(double x) {
  std::array<char, 32> text{};
  return {text.data(), std::to_chars(text.begin(), text.end(), x).ptr};
}

/// Refuses values that the architecture cannot have in fields that it stores.
inline void require_fits(const model_config& c, const gguf_architecture& a) {
  const std::string name(a.name);
  const auto require = [&](bool fits, const std::string& what) {
    if (!fits) fail_to_fit(name + " " + what);
  };
  if (c.sub_ln == norm_placement::subln) {
    require(c.tie_word_embeddings, "has no head but the embedding");
    require(c.q_width() == c.hidden_size, "needs heads as wide as the hidden state, " +
                                              std::to_string(c.hidden_size) + ", not " +
                                              std::to_string(c.q_width()));
  }
  if (c.sub_ln != norm_placement::none)
    require(c.sub_ln_eps == c.rms_norm_eps,
            "has one eps for all norms, but this model has sub_ln_eps " + shortest(c.sub_ln_eps) +
                " beside rms_norm_eps " + shortest(c.rms_norm_eps));
  const auto scalar = c.query_pre_attn_scalar == 0 ? c.head_dim : c.query_pre_attn_scalar;
  require(scalar == gguf_query_scalar(a, c), "divides scores by the root of " +
                                                 std::to_string(gguf_query_scalar(a, c)) +
                                                 ", not " + std::to_string(scalar));
  if (!c.sliding_layers.empty()) {
    require(name == "gemma3", "has no windows");
    require(window_period(c) != 0, "has windows in all layers but every n-th");
  }
  const rope_scaling& s = c.rope_scaling;
  if (s.kind == rope_scaling_kind::llama3) {
    require(name == "llama", "does not know llama3's scaling of RoPE");
    require(s.low_freq_factor == 1 && s.high_freq_factor == 4,
            "has llama3's scaling of RoPE with low_freq_factor 1 and high_freq_factor 4");
  }
}

}  // namespace detail

/// The architecture of llama.cpp that computes what the model computes: one named like its family,
/// else one that computes the same under another name, as `llama` does for a Qwen2 without biases.
/// Throws config_error where there is none, naming the architecture that comes nearest and the
/// fields that it would lose.
inline const gguf_architecture& gguf_architecture_for(const model_config& c) {
  const gguf_architecture* nearest = nullptr;
  std::vector<std::string> lost;
  for (const bool same_family : {true, false})
    for (const gguf_architecture& a : gguf_architectures) {
      if (same_family && a.model_type != c.model_type) continue;
      auto fields = detail::fields_lost_in(a, c);
      if (nearest != nullptr && fields.size() >= lost.size()) continue;
      nearest = &a;
      lost = std::move(fields);
    }
  const std::string name(nearest->name);
  if (!lost.empty())
    detail::fail_to_fit(name + ", which comes nearest, would lose " + listed(lost));
  detail::require_fits(c, *nearest);
  return *nearest;
}

}  // namespace tern::inline TERN_ABI
