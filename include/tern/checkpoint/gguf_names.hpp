// The names of architectures and tensors in GGUF files, which differ from Hugging Face's.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/tensor.hpp"
#include "tern/model/config.hpp"

namespace tern::inline TERN_ABI {

/// A family under the name that llama.cpp has for it.
struct gguf_architecture {
  std::string_view name;          ///< value of "general.architecture"; its keys begin with it
  std::string_view model_type;    ///< name of the family at Hugging Face
  activation hidden_act;          ///< activation, which no file says
  bool adjacent = false;          ///< rows of q and k are ordered for pairs (2i, 2i + 1) of RoPE
  bool norms_of_linears = false;  ///< there may be a norm before every linear, as in bitnet.cpp
};

/// The architectures that llama.cpp has in common with model_families().
inline constexpr std::array gguf_architectures{
    gguf_architecture{"llama", "llama", activation::silu, true, true},
    gguf_architecture{"qwen2", "qwen2", activation::silu},
    gguf_architecture{"qwen3", "qwen3", activation::silu, false, true},
    gguf_architecture{"gemma3", "gemma3_text", activation::gelu_tanh, false, true},
    gguf_architecture{"bitnet", "bitnet", activation::silu},
    gguf_architecture{"bitnet-b1.58", "bitnet", activation::relu2},  // known to bitnet.cpp
};

/// The tensor that holds llama3's scaling of RoPE: the divisor of each frequency.
inline constexpr std::string_view gguf_rope_factors = "rope_freqs.weight";

/// The key under which tern stores model_config::quantizer_eps in files with norms before every
/// linear. Files of other programs do not have it; their models were trained with quantizers like
/// those of transformers.
inline constexpr std::string_view gguf_quantizer_eps = "tern.quantizer_eps";

namespace detail {

/// Names inside a layer at Hugging Face and in GGUF, without "model.layers.N." and "blk.N.".
inline constexpr std::array<std::pair<std::string_view, std::string_view>, 22> gguf_layer_names{{
    {"input_layernorm", "attn_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"self_attn.attn_sub_norm", "attn_sub_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
    {"mlp.ffn_sub_norm", "ffn_sub_norm"},
    // The norms before every linear are names of bitnet.cpp, which llama.cpp does not know.
    {"self_attn.q_proj.rms_norm", "attn_q_norm_in"},
    {"self_attn.k_proj.rms_norm", "attn_k_norm_in"},
    {"self_attn.v_proj.rms_norm", "attn_v_norm_in"},
    {"self_attn.o_proj.rms_norm", "attn_output_norm_in"},
    {"mlp.gate_proj.rms_norm", "ffn_gate_norm_in"},
    {"mlp.up_proj.rms_norm", "ffn_up_norm_in"},
    {"mlp.down_proj.rms_norm", "ffn_down_norm_in"},
    // "post_attention_layernorm" is the norm behind attention where there are norms behind
    // attention and feed-forward (Gemma); otherwise it is the norm before the feed-forward.
    {"post_attention_layernorm", "post_attention_norm"},
    {"post_feedforward_layernorm", "post_ffw_norm"},
    {"pre_feedforward_layernorm", "ffn_norm"},
}};

inline constexpr std::array<std::pair<std::string_view, std::string_view>, 3> gguf_global_names{
    {{"model.embed_tokens", "token_embd"}, {"model.norm", "output_norm"}, {"lm_head", "output"}}};

}  // namespace detail

/// The name in GGUF of a parameter: "blk.3.attn_q.weight" for
/// "model.layers.3.self_attn.q_proj.weight". Throws config_error where GGUF has none.
inline std::string gguf_name(const model_config& c, std::string_view parameter) {
  constexpr std::string_view layers = "model.layers.";
  const std::size_t dot = parameter.rfind('.');
  const std::string_view kind = parameter.substr(dot);  // ".weight", ".bias"
  std::string_view stem = parameter.substr(0, dot);
  for (const auto& [ours, theirs] : detail::gguf_global_names)
    if (stem == ours) return std::string(theirs).append(kind);
  if (stem.starts_with(layers)) {
    stem.remove_prefix(layers.size());
    const std::string layer = "blk." + std::string(stem.substr(0, stem.find('.'))) + ".";
    stem.remove_prefix(stem.find('.') + 1);
    if (stem == "post_attention_layernorm" && !c.output_norms) stem = "pre_feedforward_layernorm";
    for (const auto& [ours, theirs] : detail::gguf_layer_names)
      if (stem == ours) return layer + std::string(theirs).append(kind);
  }
  throw config_error("GGUF has no name for '" + std::string(parameter) + "'");
}

/// Whether the parameter is a norm that stage 1 put before a linear: it multiplies by its weight in
/// every family, and its elements are those of the linear's input.
inline bool is_norm_of_linear(std::string_view parameter) {
  return parameter.ends_with(".rms_norm.weight") || parameter.ends_with("_sub_norm.weight");
}

/// Whether the parameter is a weight or a bias of q or k, whose rows have another order in some
/// architectures.
inline bool is_rotated(std::string_view parameter) {
  return (parameter.find(".q_proj.") != parameter.npos ||
          parameter.find(".k_proj.") != parameter.npos) &&
         !is_norm_of_linear(parameter);
}

/// Whether a family with norms of 1 + weight has the parameter in that form, which GGUF files store
/// with the one added.
inline bool has_unit_offset(std::string_view parameter) {
  return parameter.ends_with("norm.weight") && !is_norm_of_linear(parameter);
}

/// The direction in which rows of q and k are reordered.
enum class rope_order {
  to_adjacent,  ///< rows i and i + D/2 of a head of D become 2i and 2i + 1
  to_halves,    ///< rows 2i and 2i + 1 become i and i + D/2
};

/// Reorders the rows of q_proj or k_proj in place. A bias is given as a column.
template <class T>
void reorder_heads(matrix_view<T> w, std::size_t head_dim, rope_order order) {
  const std::size_t half = head_dim / 2;
  std::vector<T> head(head_dim);
  for (std::size_t c = 0; c < w.cols; ++c)
    for (std::size_t first = 0; first < w.rows; first += head_dim) {
      for (std::size_t r = 0; r < head_dim; ++r) {
        const std::size_t adjacent = 2 * (r % half) + r / half;
        const bool back = order == rope_order::to_halves;
        head[back ? r : adjacent] = w(first + (back ? adjacent : r), c);
      }
      for (std::size_t r = 0; r < head_dim; ++r) w(first + r, c) = head[r];
    }
}

}  // namespace tern::inline TERN_ABI
