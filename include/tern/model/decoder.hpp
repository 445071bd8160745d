// A decoder-only transformer: pre-norm blocks, grouped-query attention with RoPE, gated
// feed-forward; model_config says what else. The same text runs training (a recording tape),
// evaluation, full-precision and ternary models.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/model/block.hpp"
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
  using block = decoder_block<Owner>;

  /// Zero weights, norms that multiply by one. Throws config_error.
  explicit decoder(const model_config& config)
      : config_(validated(config)),
        rope_(config.head_dim, config.rope_theta, 0, rope_pairing::halves, config.rope_scaling),
        embedding_("model.embed_tokens.weight", config.vocab_size, config.hidden_size),
        norm_(block::gain(config, "model.norm.weight", config.hidden_size)) {
    if (config.rope_local_theta != 0)
      local_rope_.emplace(config.head_dim, config.rope_local_theta, 0);
    for (std::size_t i = 0; i < config.num_hidden_layers; ++i)
      blocks_.push_back(block::make(config, i));
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

  /// The policies, with the eps of the configuration where it has one.
  [[nodiscard]] WeightQ weight_quantizer() const { return with_eps(WeightQ{}); }
  [[nodiscard]] ActQ activation_quantizer() const { return with_eps(ActQ{}); }

  /// Norms of gain 1 directly before projections, replacing any; see surgery.hpp.
  void place_norms(norm_placement placement, double eps) {
    for (block& b : blocks_) b.place_norms(placement);
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
    f(embedding_);
    for (block& b : blocks_) b.for_each_parameter(f);
    f(norm_);
    if (lm_head_) f(*lm_head_);
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
    extend_rope(batch);
    variable<scalar> x = graph::embedding<scalar>(t, batch.tokens, embedding_.variable(),
                                                  static_cast<scalar>(config_.embedding_scale()));
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      attention_taps<scalar>* here = taps != nullptr && taps->layer == i ? taps : nullptr;
      x = graph::add(t, x, attend(t, blocks_[i], x, batch, here));
      x = graph::add(t, x, feed_forward(t, blocks_[i], x));
    }
    if (!rows.empty()) x = graph::gather_rows(t, x, rows);
    return normalize(t, x, norm_);
  }

 private:
  using T = scalar;

  static const model_config& validated(const model_config& c) {
    c.validate();
    return c;
  }

  /// The tables hold what was needed so far: few models see the length they allow.
  void extend_rope(const token_batch& batch) {
    if (batch.positions.empty()) return;
    const auto last = static_cast<std::size_t>(std::max(0, std::ranges::max(batch.positions)));
    const std::size_t positions = std::min(last + 1, config_.max_position_embeddings);
    rope_.extend(positions);
    if (local_rope_) local_rope_->extend(positions);
  }

  template <class Q>
  Q with_eps(Q quantizer) const {
    if constexpr (requires { quantizer.eps = 1e-5; })
      if (config_.quantizer_eps != 0) quantizer.eps = config_.quantizer_eps;
    return quantizer;
  }

  variable<T> normalize(tape<T>& t, variable<T> x, parameter_type& gain) {
    return graph::rms_norm(t, x, gain.variable(), config_.rms_norm_eps, config_.norm_offset());
  }
  variable<T> normalize(tape<T>& t, variable<T> x, std::optional<parameter_type>& gain) {
    return gain ? normalize(t, x, *gain) : x;
  }

  variable<T> project(tape<T>& t, projection_type& p, variable<T> x) {
    if (p.norm) x = graph::rms_norm(t, x, p.norm->variable(), config_.sub_ln_eps);
    const variable<T> bias = p.bias ? p.bias->variable() : variable<T>{};
    if (p.packed) return graph::packed_linear<T>(t, x, *p.packed, bias, activation_quantizer());
    return p.ternary ? graph::bit_linear<T>(t, x, p.weight.variable(), bias, weight_quantizer(),
                                            activation_quantizer())
                     : graph::linear(t, x, p.weight.variable(), bias);
  }

  variable<T> attend(tape<T>& t, block& b, variable<T> x, const token_batch& batch,
                     attention_taps<T>* taps) {
    x = normalize(t, x, b.attention_norm);
    const variable<T> q_raw = project(t, b.q, x), k_raw = project(t, b.k, x);
    const variable<T> v = project(t, b.v, x);
    const variable<T> q = normalize(t, q_raw, b.q_norm), k = normalize(t, k_raw, b.k_norm);
    const rope_table<T>& angles = b.sliding && local_rope_ ? *local_rope_ : rope_;
    graph::rope<T>(t, q, batch.positions, angles);
    graph::rope<T>(t, k, batch.positions, angles);
    if (taps != nullptr) *taps = {taps->layer, q, k, v};
    const attention_shape shape{config_.num_attention_heads, config_.num_key_value_heads,
                                config_.head_dim, config_.attention_scale(),
                                b.sliding ? config_.sliding_window : 0};
    const variable<T> y = graph::attention<T>(t, q, k, v, batch.offsets, shape);
    return normalize(t, project(t, b.o, y), b.attention_output_norm);
  }

  variable<T> feed_forward(tape<T>& t, block& b, variable<T> x) {
    x = normalize(t, x, b.feed_forward_norm);
    const variable<T> gate = project(t, b.gate, x), up = project(t, b.up, x);
    const variable<T> y =
        project(t, b.down, graph::gated_activation(t, config_.hidden_act, gate, up));
    return normalize(t, y, b.feed_forward_output_norm);
  }

  model_config config_;
  rope_table<T> rope_;
  std::optional<rope_table<T>> local_rope_;
  parameter_type embedding_, norm_;
  std::optional<parameter_type> lm_head_;
  std::vector<block> blocks_;
};

}  // namespace tern::inline TERN_ABI
