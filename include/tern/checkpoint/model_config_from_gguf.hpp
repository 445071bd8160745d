// model_config from the metadata of a GGUF file, as llama.cpp understands it. Only the tensors tell
// the size of the vocabulary, and whether there are biases, a head that is not the embedding, norms
// before every linear, and ternary weights.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "tern/checkpoint/gguf_names.hpp"
#include "tern/checkpoint/gguf_rope.hpp"
#include "tern/checkpoint/quantization_config.hpp"
#include "tern/gguf/file.hpp"
#include "tern/gguf/ternary.hpp"
#include "tern/model/model_family.hpp"

namespace tern::inline TERN_ABI {

/// The architecture of a file. Throws format_error naming the file where it is none of
/// gguf_architectures.
inline const gguf_architecture& architecture_of(const gguf_file& file) {
  constexpr std::string_view key = "general.architecture";
  const auto name = file.metadata().get<std::string>(key);
  std::string known;
  for (const auto& each : gguf_architectures) {
    if (each.name == name) return each;
    known.append(known.empty() ? "expected one of " : ", ").append(each.name);
  }
  file.metadata().fail(key, known + ", got " + name);
}

namespace detail {

class gguf_config_reader {
 public:
  explicit gguf_config_reader(const gguf_file& file)
      : file_(file), from_(file.metadata()), architecture_(architecture_of(file)) {}

  model_config read() {
    c_ = find_family(std::string(architecture_.model_type))->defaults;
    c_.hidden_act = architecture_.hidden_act;
    refuse_unsupported();
    read_sizes();
    c_.rms_norm_eps = decimal(from_.get<float>(key("attention.layer_norm_rms_epsilon")));
    if (file_.contains("blk.0.attn_q_norm_in.weight")) {
      c_.sub_ln = norm_placement::all;
      c_.quantizer_eps = from_.get_or<double>(gguf_quantizer_eps, bitnet_quantizer_eps);
    }
    if (c_.sub_ln != norm_placement::none) c_.sub_ln_eps = c_.rms_norm_eps;
    read_attention();
    c_.rope_scaling = read_gguf_rope(file_, std::string(architecture_.name), c_);
    c_.tie_word_embeddings = !file_.contains("output.weight");
    c_.attention_bias = file_.contains("blk.0.attn_q.bias");
    c_.output_bias = file_.contains("blk.0.attn_output.bias");
    read_ternary();
    try {
      c_.validate();
    } catch (const config_error& e) {
      throw format_error(file_.path().string() + ": " + e.what());
    }
    return c_;
  }

 private:
  [[nodiscard]] std::string key(const char* name) const {
    return std::string(architecture_.name) + "." + name;
  }
  [[nodiscard]] std::size_t size(const char* name) const {
    const auto n = from_.get<std::uint32_t>(key(name));
    if (n == 0) from_.fail(key(name), "expected a positive integer, got 0");
    return n;
  }
  [[nodiscard]] std::size_t size_or(const char* name, std::size_t fallback) const {
    return from_.contains(key(name)) ? size(name) : fallback;
  }
  void expect(const char* name, std::size_t wanted) const {
    if (const auto n = size_or(name, wanted); n != wanted)
      from_.fail(key(name), "expected " + std::to_string(wanted) + ", got " + std::to_string(n));
  }

  void refuse_unsupported() const {
    if (from_.get_or<std::uint32_t>(key("expert_count"), 0) != 0)
      from_.fail(key("expert_count"), "mixtures of experts are not supported");
    for (const char* cap : {"attn_logit_softcapping", "final_logit_softcapping"})
      if (from_.get_or<float>(key(cap), 0) != 0) from_.fail(key(cap), "caps are not supported");
  }

  void read_sizes() {
    c_.hidden_size = size("embedding_length");
    c_.intermediate_size = size("feed_forward_length");
    c_.num_hidden_layers = size("block_count");
    constexpr std::size_t most_layers =
        65536;  // lists with an entry for each layer are made before any weight is seen
    if (c_.num_hidden_layers > most_layers)
      from_.fail(key("block_count"), "expected at most " + std::to_string(most_layers) + ", got " +
                                         std::to_string(c_.num_hidden_layers));
    c_.max_position_embeddings = size("context_length");
    const gguf_tensor& table = file_.at("token_embd.weight");
    if (table.shape.size() != 2) table.fail("expected two dimensions");
    c_.vocab_size = table.shape[0];
  }

  void read_attention() {
    c_.num_attention_heads = size("attention.head_count");
    c_.num_key_value_heads = size_or("attention.head_count_kv", c_.num_attention_heads);
    c_.head_dim = size_or("attention.key_length", c_.hidden_size / c_.num_attention_heads);
    expect("attention.value_length", c_.head_dim);
    expect("rope.dimension_count", c_.head_dim);
    if (architecture_.name != "gemma3") return;
    // llama.cpp knows its largest Gemma 3 by the number of layers.
    c_.query_pre_attn_scalar =
        c_.num_hidden_layers == 62 ? c_.hidden_size / c_.num_attention_heads : c_.head_dim;
    if (!from_.contains(key("attention.sliding_window"))) return;
    c_.sliding_window = size("attention.sliding_window");
    const std::size_t every = size_or("attention.sliding_window_pattern", 6);
    c_.sliding_layers.resize(c_.num_hidden_layers);
    for (std::size_t i = 0; i < c_.num_hidden_layers; ++i)
      c_.sliding_layers[i] = (i + 1) % every != 0;
  }

  /// Finds out whether all linears of the layers are ternary, and how many weights of them share a
  /// scale. Where only some are, the file is a quantized model of another kind.
  void read_ternary() {
    bool one_scale = true, groups = true;
    ggml_type first = ggml_type::f32;
    for (std::size_t i = 0; (one_scale || groups) && i < c_.num_hidden_layers; ++i)
      for (const char* linear :
           {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
        const std::string name = "blk." + std::to_string(i) + "." + linear + ".weight";
        if (!file_.contains(name) || !has_trits_alone(file_.at(name))) return;
        const gguf_tensor& t = file_.at(name);
        if (first == ggml_type::f32) first = t.type;
        one_scale = one_scale && single_scale(t);
        groups = groups && t.type == first && t.type != ggml_type::i2_s;
      }
    c_.ternary = one_scale || groups;
    if (one_scale || !groups) return;
    c_.learned_scales = scale_granularity::group;
    c_.scale_group = ternary_scale_block(first, 1, 1).cols;
  }

  const gguf_file& file_;
  const gguf_metadata& from_;
  const gguf_architecture& architecture_;
  model_config c_;
};

}  // namespace detail

/// The configuration of a file's model. Throws format_error naming the file and the key or tensor.
inline model_config model_config_from_gguf(const gguf_file& file) {
  return detail::gguf_config_reader(file).read();
}

}  // namespace tern::inline TERN_ABI
