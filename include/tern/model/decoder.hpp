// A decoder-only transformer of the Qwen3 kind: pre-norm blocks, grouped-query attention with q/k
// norm and RoPE, gated feed-forward. The same text runs training (a recording tape), evaluation,
// full-precision and ternary models.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/model/config.hpp"
#include "tern/model/parameter.hpp"
#include "tern/model/token_batch.hpp"
#include "tern/nn/graph.hpp"
#include "tern/quant/absmax.hpp"
#include "tern/quant/absmean.hpp"

namespace tern::inline TERN_ABI {

/// Q and K after norm and RoPE, V raw, of one layer: what attention-relation distillation sees.
template <class T>
struct attention_taps {
  std::size_t layer = 0;
  variable<T> q, k, v;  ///< (tokens, heads * head_dim), filled by decoder::hidden
};

template <matrix_owner Owner = matrix<float>, class WeightQ = absmean, class ActQ = absmax_int8>
class decoder {
 public:
  using owner = Owner;
  using scalar = scalar_of<Owner>;
  using weight_quantizer_type = WeightQ;
  using parameter_type = parameter<Owner>;
  using projection_type = projection<Owner>;

  struct block {
    parameter_type input_norm, post_attention_norm;
    std::optional<parameter_type> q_norm, k_norm;
    projection_type q, k, v, o, gate, up, down;

    template <class F>
    void for_each_projection(F&& f) {
      for (projection_type* p : {&q, &k, &v, &o, &gate, &up, &down}) f(*p);
    }
  };

  /// Zero weights, gains of one. Throws config_error.
  explicit decoder(const model_config& config)
      : config_(validated(config)),
        rope_(config.head_dim, config.rope_theta, config.max_position_embeddings),
        embedding_("model.embed_tokens.weight", config.vocab_size, config.hidden_size),
        norm_(gain("model.norm.weight", config.hidden_size)) {
    for (std::size_t i = 0; i < config.num_hidden_layers; ++i) blocks_.push_back(make_block(i));
    if (!config.tie_word_embeddings)
      lm_head_.emplace("lm_head.weight", config.vocab_size, config.hidden_size);
    place_norms(config.sub_ln, config.sub_ln_eps);
    set_ternary(config.ternary);
  }

  /// Matrices from N(0, initializer_range); each parameter has its own random stream.
  void initialize(std::uint64_t seed) {
    std::uint64_t stream = 0;
    for_each_parameter([&](parameter_type& p) {
      ++stream;
      if (!p.is_vector()) p.fill_normal(config_.initializer_range, philox(seed, stream));
    });
  }

  [[nodiscard]] const model_config& config() const { return config_; }
  [[nodiscard]] std::vector<block>& blocks() { return blocks_; }
  /// The matrix that turns hidden states into logits: lm_head, or the tied embedding.
  [[nodiscard]] parameter_type& head() { return lm_head_ ? *lm_head_ : embedding_; }

  /// Norms of gain 1 directly before projections, replacing any; see surgery.hpp.
  void place_norms(norm_placement placement, double eps) {
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      const std::string at = layer_name(i);
      block& b = blocks_[i];
      b.for_each_projection([&](projection_type& p) {
        p.norm.reset();
        const std::string stem = p.weight.name.substr(0, p.weight.name.rfind('.'));
        if (placement == norm_placement::all)
          p.norm = gain(stem + ".rms_norm.weight", p.weight.view().cols);
      });
      if (placement != norm_placement::subln) continue;
      b.o.norm = gain(at + "self_attn.attn_sub_norm.weight", config_.q_width());
      b.down.norm = gain(at + "mlp.ffn_sub_norm.weight", config_.intermediate_size);
    }
    config_.sub_ln = placement;
    config_.sub_ln_eps = eps;
  }

  /// Whether the seven linears of every block are quantized in the forward pass.
  void set_ternary(bool enabled) {
    for (block& b : blocks_)
      b.for_each_projection([&](projection_type& p) { p.ternary = enabled; });
    config_.ternary = enabled;
  }

  /// f(parameter&) for every parameter, always in the same order.
  template <class F>
  void for_each_parameter(F&& f) {
    const auto maybe = [&](std::optional<parameter_type>& p) {
      if (p) f(*p);
    };
    f(embedding_);
    for (block& b : blocks_) {
      f(b.input_norm);
      maybe(b.q_norm);
      maybe(b.k_norm);
      f(b.post_attention_norm);
      b.for_each_projection([&](projection_type& p) {
        maybe(p.norm);
        f(p.weight);
        maybe(p.bias);
      });
    }
    f(norm_);
    maybe(lm_head_);
  }

  /// Gives every parameter a zeroed gradient, or takes them all away.
  void train(bool enabled) {
    for_each_parameter([&](parameter_type& p) {
      const auto v = p.view();
      p.grad =
          enabled ? tensor_traits<Owner>::make(v.rows, v.cols) : tensor_traits<Owner>::make(0, 0);
    });
  }

  /// Final hidden states after the last norm, for `rows` of the batch only (ascending; empty for
  /// all): (rows, hidden_size). `batch` and `rows` must outlive the step.
  variable<scalar> hidden(tape<scalar>& t, const token_batch& batch,
                          std::span<const std::size_t> rows = {},
                          attention_taps<scalar>* taps = nullptr) {
    variable<scalar> x = graph::embedding<scalar>(t, batch.tokens, embedding_.variable());
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      attention_taps<scalar>* here = taps != nullptr && taps->layer == i ? taps : nullptr;
      x = graph::add(t, x, attend(t, blocks_[i], x, batch, here));
      x = graph::add(t, x, feed_forward(t, blocks_[i], x));
    }
    if (!rows.empty()) x = graph::gather_rows(t, x, rows);
    return graph::rms_norm(t, x, norm_.variable(), config_.rms_norm_eps);
  }

 private:
  using T = scalar;

  static const model_config& validated(const model_config& c) {
    c.validate();
    return c;
  }

  static parameter_type gain(const std::string& name, std::size_t n) {
    parameter_type p(name, 1, n);
    p.fill(T(1));
    return p;
  }

  static std::string layer_name(std::size_t index) {
    return "model.layers." + std::to_string(index) + ".";
  }

  block make_block(std::size_t index) const {
    const std::string at = layer_name(index);
    const std::size_t d = config_.hidden_size, f = config_.intermediate_size;
    const std::size_t q = config_.q_width(), kv = config_.kv_width();
    const auto project = [&](const std::string& name, std::size_t out, std::size_t in, bool bias) {
      projection_type p{parameter_type(at + name + ".weight", out, in), {}, {}, false, {}};
      if (bias) p.bias.emplace(at + name + ".bias", 1, out);
      return p;
    };
    const bool bias = config_.attention_bias;
    block b{gain(at + "input_layernorm.weight", d),
            gain(at + "post_attention_layernorm.weight", d),
            {},
            {},
            project("self_attn.q_proj", q, d, bias),
            project("self_attn.k_proj", kv, d, bias),
            project("self_attn.v_proj", kv, d, bias),
            project("self_attn.o_proj", d, q, false),
            project("mlp.gate_proj", f, d, false),
            project("mlp.up_proj", f, d, false),
            project("mlp.down_proj", d, f, false)};
    if (config_.qk_norm) {
      b.q_norm = gain(at + "self_attn.q_norm.weight", config_.head_dim);
      b.k_norm = gain(at + "self_attn.k_norm.weight", config_.head_dim);
    }
    return b;
  }

  variable<T> project(tape<T>& t, projection_type& p, variable<T> x) {
    if (p.norm) x = graph::rms_norm(t, x, p.norm->variable(), config_.sub_ln_eps);
    const variable<T> bias = p.bias ? p.bias->variable() : variable<T>{};
    if (p.packed) return graph::packed_linear<T, ActQ>(t, x, *p.packed, bias);
    return p.ternary ? graph::bit_linear<T, WeightQ, ActQ>(t, x, p.weight.variable(), bias)
                     : graph::linear(t, x, p.weight.variable(), bias);
  }

  variable<T> attend(tape<T>& t, block& b, variable<T> x, const token_batch& batch,
                     attention_taps<T>* taps) {
    x = graph::rms_norm(t, x, b.input_norm.variable(), config_.rms_norm_eps);
    variable<T> q = project(t, b.q, x), k = project(t, b.k, x);
    const variable<T> v = project(t, b.v, x);
    if (b.q_norm) q = graph::rms_norm(t, q, b.q_norm->variable(), config_.rms_norm_eps);
    if (b.k_norm) k = graph::rms_norm(t, k, b.k_norm->variable(), config_.rms_norm_eps);
    graph::rope<T>(t, q, batch.positions, rope_);
    graph::rope<T>(t, k, batch.positions, rope_);
    if (taps != nullptr) *taps = {taps->layer, q, k, v};
    const attention_shape shape{config_.num_attention_heads, config_.num_key_value_heads,
                                config_.head_dim, 0.0};
    return project(t, b.o, graph::attention<T>(t, q, k, v, batch.offsets, shape));
  }

  variable<T> feed_forward(tape<T>& t, block& b, variable<T> x) {
    x = graph::rms_norm(t, x, b.post_attention_norm.variable(), config_.rms_norm_eps);
    const variable<T> gate = project(t, b.gate, x), up = project(t, b.up, x);
    return project(t, b.down, graph::gated_activation(t, config_.hidden_act, gate, up));
  }

  model_config config_;
  rope_table<T> rope_;
  parameter_type embedding_, norm_;
  std::optional<parameter_type> lm_head_;
  std::vector<block> blocks_;
};

}  // namespace tern::inline TERN_ABI
