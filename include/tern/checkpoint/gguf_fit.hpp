// Which architecture of llama.cpp computes what a model computes, and the metadata that tell it so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tern/checkpoint/gguf_names.hpp"
#include "tern/checkpoint/gguf_rope.hpp"
#include "tern/core/error.hpp"
#include "tern/gguf/writer.hpp"
#include "tern/model/model_family.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

[[noreturn]] inline void fail_to_fit(const std::string& what) {
  throw config_error("no GGUF architecture holds this model: " + what);
}

/// `bitnet` has SubLN and little else.
inline void require_fits_bitnet(const model_config& c) {
  const auto require = [](bool fits, const std::string& what) {
    if (!fits)
      fail_to_fit("bitnet, the one with SubLN, " + what + "; tern's own model folder does");
  };
  require(c.sub_ln == norm_placement::subln, "has none before q, k, v, gate and up");
  require(!c.qk_norm, "has no norms of q and k");
  require(!c.attention_bias && !c.output_bias, "has no biases");
  require(!c.unit_offset && !c.output_norms && !c.scaled_embedding, "has no parts of Gemma's");
  require(c.tie_word_embeddings, "has no head but the embedding");
  require(c.q_width() == c.hidden_size, "needs heads as wide as the hidden state, " +
                                            std::to_string(c.hidden_size) + ", not " +
                                            std::to_string(c.q_width()));
  require(c.sub_ln_eps == c.rms_norm_eps, "has one eps for all norms");
}

inline bool fits(const model_config& c, const gguf_architecture& a) {
  const model_config& d = find_family(std::string(a.model_type))->defaults;
  const bool any_bias = a.name == "llama";
  return a.hidden_act == c.hidden_act && d.sub_ln == c.sub_ln && d.qk_norm == c.qk_norm &&
         d.unit_offset == c.unit_offset && d.output_norms == c.output_norms &&
         d.scaled_embedding == c.scaled_embedding &&
         (any_bias || (d.attention_bias == c.attention_bias && !c.output_bias));
}

/// Every n-th layer sees everything; 0 where that is not the rule.
inline std::size_t window_period(const model_config& c) {
  for (std::size_t n = 2; n <= c.num_hidden_layers + 1; ++n) {
    bool same = true;
    for (std::size_t i = 0; i < c.num_hidden_layers; ++i)
      same = same && c.sliding(i) == ((i + 1) % n != 0);
    if (same) return n;
  }
  return 0;
}

/// What llama.cpp divides scores by the root of.
inline std::size_t gguf_query_scalar(const gguf_architecture& a, const model_config& c) {
  const bool largest_gemma = a.name == "gemma3" && c.num_hidden_layers == 62;
  return largest_gemma ? c.hidden_size / c.num_attention_heads : c.head_dim;
}

inline void require_fits(const model_config& c, const gguf_architecture& a) {
  const std::string name(a.name);
  const auto scalar = c.query_pre_attn_scalar == 0 ? c.head_dim : c.query_pre_attn_scalar;
  if (scalar != gguf_query_scalar(a, c))
    fail_to_fit(name + " divides scores by the root of " + std::to_string(gguf_query_scalar(a, c)) +
                ", not " + std::to_string(scalar));
  if (!c.sliding_layers.empty() && (name != "gemma3" || window_period(c) == 0))
    fail_to_fit(name == "gemma3" ? "its windows do not leave out every n-th layer"
                                 : name + " has no windows");
  if (c.rope_scaling.kind == rope_scaling_kind::llama3 && name != "llama")
    fail_to_fit(name + " does not know llama3's scaling of RoPE");
  const rope_scaling& s = c.rope_scaling;
  if (s.kind == rope_scaling_kind::llama3 && !(s.low_freq_factor == 1 && s.high_freq_factor == 4))
    fail_to_fit("llama3's scaling of RoPE has low_freq_factor 1 and high_freq_factor 4");
}

}  // namespace detail

/// Throws config_error saying what stands in the way where there is none.
inline const gguf_architecture& gguf_architecture_for(const model_config& c) {
  if (c.sub_ln != norm_placement::none) detail::require_fits_bitnet(c);
  for (const bool own : {true, false})  // Qwen2 is a Llama with biases, but better its own
    for (const gguf_architecture& a : gguf_architectures)
      if ((!own || a.model_type == c.model_type) && detail::fits(c, a))
        return detail::require_fits(c, a), a;
  detail::fail_to_fit("none has its activation and its norms together");
}

/// The keys of the architecture, "llama.block_count" and so on.
inline void write_gguf_config(gguf_writer& file, const model_config& c,
                              const gguf_architecture& a) {
  const std::string at = std::string(a.name) + ".";
  const auto count = [&](const char* key, std::size_t n) {
    file.metadata(at + key, static_cast<std::uint32_t>(n));
  };
  const auto real = [&](const char* key, double x) {
    file.metadata(at + key, static_cast<float>(x));
  };
  file.metadata("general.architecture", a.name);
  count("vocab_size", c.vocab_size);
  count("context_length", c.max_position_embeddings);
  count("embedding_length", c.hidden_size);
  count("block_count", c.num_hidden_layers);
  count("feed_forward_length", c.intermediate_size);
  count("attention.head_count", c.num_attention_heads);
  count("attention.head_count_kv", c.num_key_value_heads);
  count("attention.key_length", c.head_dim);
  count("attention.value_length", c.head_dim);
  real("attention.layer_norm_rms_epsilon", c.rms_norm_eps);
  count("rope.dimension_count", c.head_dim);
  real("rope.freq_base", c.rope_theta);
  if (!c.sliding_layers.empty()) {
    count("attention.sliding_window", c.sliding_window);
    count("attention.sliding_window_pattern", detail::window_period(c));
    real("rope.freq_base_swa", c.rope_local_theta != 0 ? c.rope_local_theta : c.rope_theta);
  }
  if (c.rope_scaling.kind == rope_scaling_kind::llama3)  // the rule itself is gguf_rope_factors
    count("rope.scaling.original_context_length", c.rope_scaling.original_positions);
  if (c.rope_scaling.kind == rope_scaling_kind::linear) {
    file.metadata(at + "rope.scaling.type", "linear");
    real("rope.scaling.factor", c.rope_scaling.factor);
  }
}

}  // namespace tern::inline TERN_ABI
