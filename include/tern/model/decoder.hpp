// A decoder-only transformer: layers with norms before attention and feed-forward, grouped-query
// attention with RoPE, a gated feed-forward, and what model_config adds to it. One code serves
// training (a tape that records), evaluation, full-precision models and ternary ones.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/core/error.hpp"
#include "tern/model/config.hpp"
#include "tern/model/layer.hpp"
#include "tern/model/parameter.hpp"
#include "tern/model/token_batch.hpp"
#include "tern/nn/graph.hpp"
#include "tern/nn/taps.hpp"
#include "tern/quant/absmax_int8.hpp"
#include "tern/quant/chosen_quantizer.hpp"
#include "tern/quant/given_scales.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// A hook of layer_forward() that does nothing.
struct no_hook {
  template <class Projection, class T>
  static void before_norm(Projection&, variable<T>) {}
  template <class Projection, class T>
  static void before_product(Projection&, variable<T>) {}
};

}  // namespace detail

template <matrix_owner Owner = matrix<float>, class WeightQ = chosen_quantizer,
          class ActQ = absmax_int8>
class decoder {
  static_assert(std::default_initializable<WeightQ> && std::default_initializable<ActQ>,
                "a decoder makes its quantizers itself: they need a constructor without arguments");

 public:
  using owner = Owner;                        ///< type of every matrix
  using scalar = scalar_of<Owner>;            ///< type of an element
  using weight_quantizer_type = WeightQ;      ///< policy of ternary linears
  using parameter_type = parameter<Owner>;    ///< see model/parameter.hpp
  using projection_type = projection<Owner>;  ///< see model/parameter.hpp
  using layer = decoder_layer<Owner>;         ///< see model/layer.hpp

  /// A decoder with zero weights and with norms that multiply by one. Without `allocated` the
  /// weights of embedding, head and projections have a shape but no value yet. Throws config_error
  /// where the configuration is not valid.
  explicit decoder(const model_config& config, bool allocated = true)
      : config_((config.validate(), config)),
        rope_(config.head_dim, config.rope_theta, 0, rope_pairing::halves, config.rope_scaling),
        embedding_(table_of("model.embed_tokens.weight", allocated)),
        norm_(layer::gain(config, "model.norm.weight", config.hidden_size)) {
    if (config.rope_local_theta != 0)
      local_rope_.emplace(config.head_dim, config.rope_local_theta, 0);
    for (std::size_t i = 0; i < config.num_hidden_layers; ++i)
      layers_.push_back(layer::make(config, i, allocated));
    if (!config.tie_word_embeddings) lm_head_ = table_of("lm_head.weight", allocated);
    place_norms(config.sub_ln, config.sub_ln_eps);
    place_scales(config.learned_scales, config.scale_group);
    set_ternary(config.ternary);
  }

  /// Draws matrices from N(0, initializer_range). Each parameter has its own random stream. Scales
  /// are left as they are: see learn_scales() of surgery.hpp.
  void initialize(std::uint64_t seed) {
    std::uint64_t stream = 0;
    for_each_parameter([&](parameter_type& p) {
      ++stream;
      if (p.kind == parameter_kind::matrix || p.kind == parameter_kind::table)
        p.fill_normal(config_.initializer_range, philox(seed, stream));
    });
  }

  [[nodiscard]] const model_config& config() const {
    return config_;
  }                                                               ///< with the changes of stage 1
  [[nodiscard]] std::vector<layer>& layers() { return layers_; }  ///< from the first to the last
  /// The embedding of tokens, (vocab_size, hidden_size).
  [[nodiscard]] projection_type& embedding() { return embedding_; }
  /// The head, which makes logits of hidden states: lm_head, or the tied embedding. Its shape is
  /// that of the embedding.
  [[nodiscard]] projection_type& head_projection() { return lm_head_ ? *lm_head_ : embedding_; }
  [[nodiscard]] parameter_type& head() { return head_projection().weight; }  ///< weight of the head
  /// Copies the row of the head that makes the logit of a token, also where the head is packed.
  /// out: hidden_size elements.
  void head_row(std::size_t token, row_view<scalar> out) {
    if (token >= config_.vocab_size)
      throw config_error("head_row: token " + std::to_string(token) + " is outside [0, " +
                         std::to_string(config_.vocab_size) + ")");
    require_size(out.size, config_.hidden_size, "head_row: out");
    const projection_type& p = head_projection();
    if (p.packed) return p.packed->visit([&](const auto& w) { dequantize_row(w, token, out); });
    const auto row = p.weight.view().row(token);
    for (std::size_t i = 0; i < row.size; ++i) out[i] = row[i];
  }

  /// Calls f(policy) with the weight_quantizer of a projection, and returns its result: that of the
  /// model, or given_scales where the scales are parameters.
  template <class F>
  decltype(auto) with_weight_quantizer(const projection_type& p, F&& f) const {
    if (p.scales) return f(given_scales<scalar>{p.scales->view(), p.scale_block});
    return f(weight_quantizer());
  }

  /// The quantizer policies, as the configuration says.
  [[nodiscard]] WeightQ weight_quantizer() const {
    WeightQ quantizer{};
    if constexpr (std::same_as<WeightQ, chosen_quantizer>)
      quantizer.policy = config_.weight_quantizer;
    return with_eps(quantizer);
  }
  [[nodiscard]] ActQ activation_quantizer() const { return with_eps(ActQ{}); }

  /// Puts norms with gain 1 directly before projections, in place of any; see surgery.hpp.
  void place_norms(norm_placement placement, double eps) {
    for (layer& l : layers_) l.place_norms(placement);
    config_.sub_ln = placement;
    config_.sub_ln_eps = eps;
  }

  /// Gives the ternary linears scales of zero as parameters, in place of any; see surgery.hpp.
  void place_scales(scale_granularity granularity, std::size_t group = 0) {
    config_.learned_scales = granularity;
    config_.scale_group = group;
    config_.validate();
    for (layer& l : layers_) l.place_scales(config_);
  }

  /// Sets what rounds the weights of ternary linears whose scales are no parameters.
  void set_weight_quantizer(weight_policy policy) { config_.weight_quantizer = policy; }

  /// Sets whether the seven linears of every layer are quantized in the forward pass.
  void set_ternary(bool enabled) {
    for (layer& l : layers_)
      l.for_each_projection([&](projection_type& p) { p.ternary = enabled; });
    config_.ternary = enabled;
  }

  /// Sets what the rounding with learned scales passes on to weights that it clips. It belongs to a
  /// training stage, not to the model, so no file has it.
  void set_clipped_gradient(clipped_gradient clipped) { clipped_ = clipped; }

  /// Sets how far ternary linears without learned scales are quantized: they multiply x + lambda
  /// (Q(x) - x) instead of x, and the same of the weights. 1 is the ternary model. Below it the
  /// products are of floats, and the tape holds a copy of the weights. No file has it.
  void set_quantization(double lambda) { lambda_ = static_cast<scalar>(lambda); }

  /// Calls f(parameter&) for every parameter, always in the same order.
  template <class F>
  void for_each_parameter(F&& f) {
    f(embedding_.weight);
    for (layer& l : layers_) l.for_each_parameter(f);
    f(norm_);
    if (lm_head_) f(lm_head_->weight);
  }

  /// Calls f(projection&) for the projections of all layers, then for embedding and lm_head.
  template <class F>
  void for_each_projection(F&& f) {
    for (layer& l : layers_) l.for_each_projection(f);
    f(embedding_);
    if (lm_head_) f(*lm_head_);
  }

  /// Gives every parameter a gradient of zeros, or removes all gradients.
  void train(bool enabled) {
    for_each_parameter([&](parameter_type& p) {
      const auto v = p.view();
      p.grad =
          enabled ? tensor_traits<Owner>::make(v.rows, v.cols) : tensor_traits<Owner>::make(0, 0);
    });
  }

  /// Computes the angles of RoPE for so many positions, at most those that the model allows, so
  /// that no later call has to. Otherwise they are computed when they are first needed, since few
  /// models see the longest context that they allow.
  void reserve_positions(std::size_t n) {
    n = std::min(n, config_.max_position_embeddings);
    rope_.extend(n);
    if (local_rope_) local_rope_->extend(n);
  }

  /// The hidden states after the last norm, (rows, hidden_size). `rows` are the rows of the batch
  /// that are wanted, ascending; empty means all. `batch` and `rows` must outlive the step. `seen`:
  /// activations that somebody asked for, or null.
  variable<scalar> hidden(tape<scalar>& t, const token_batch& batch,
                          std::span<const std::size_t> rows = {}, taps<scalar>* seen = nullptr) {
    return forward(t, batch, rows, self_attention(t, batch), seen);
  }

  /// The same with an attention that the caller provides, for example one of new tokens over those
  /// of a cache: attend(layer, q, k, v, attention_shape) returns what graph::attention does. RoPE
  /// at batch.positions has already been applied to q and k.
  template <class Attend>
  variable<scalar> forward(tape<scalar>& t, const token_batch& batch,
                           std::span<const std::size_t> rows, Attend&& attend,
                           taps<scalar>* seen = nullptr) {
    reserve_positions_of(batch);
    if (seen != nullptr)
      seen->reserve(t, batch.tokens.size(), [&](tap_point p) { return width_of(p); });
    variable<T> x = embed(t, batch.tokens);
    for (std::size_t i = 0; i < layers_.size(); ++i)
      x = run_layer(t, i, x, batch, attend, seen, detail::no_hook{});
    if (!rows.empty()) x = graph::gather_rows(t, x, rows);
    return normalize(t, x, norm_);
  }

  /// Number of columns of a tapped activation.
  [[nodiscard]] std::size_t width_of(tap_point p) const {
    return p == tap_point::q        ? config_.q_width()
           : p == tap_point::hidden ? config_.hidden_size
                                    : config_.kv_width();
  }

  /// The hidden states of tokens before the first layer, (tokens, hidden_size).
  variable<scalar> embed(tape<scalar>& t, std::span<const std::int32_t> tokens) {
    const T scale = static_cast<T>(config_.embedding_scale());
    return embedding_.packed ? graph::embedding<T>(t, tokens, *embedding_.packed, scale)
                             : graph::embedding<T>(t, tokens, embedding_.weight.variable(), scale);
  }

  /// What layer `index` makes of the hidden states x (tokens, hidden_size) of whole sequences.
  /// `hook` sees the inputs of projections that are not packed before they are used, and may change
  /// their parameters: hook.before_norm(projection, x) where the projection has a norm of its own,
  /// and then hook.before_product(projection, x). Projections that share an input get the same x.
  template <class Hook>
  variable<scalar> layer_forward(tape<scalar>& t, std::size_t index, variable<scalar> x,
                                 const token_batch& batch, Hook&& hook) {
    reserve_positions_of(batch);
    return run_layer(t, index, x, batch, self_attention(t, batch), nullptr, hook);
  }

  /// The last norm, which stands between the last layer and the head.
  variable<scalar> final_norm(tape<scalar>& t, variable<scalar> x) {
    return normalize(t, x, norm_);
  }

  /// The logits (n, vocab_size) of hidden states (n, hidden_size).
  variable<scalar> logits(tape<scalar>& t, variable<scalar> hidden) {
    return project(t, head_projection(), hidden, detail::no_hook{});
  }

 private:
  using T = scalar;

  [[nodiscard]] projection_type table_of(const char* name, bool allocated) const {
    projection_type p;
    p.weight = {name, config_.vocab_size, config_.hidden_size, allocated};
    p.weight.kind = parameter_kind::table;
    return p;
  }

  void reserve_positions_of(const token_batch& batch) {
    if (!batch.positions.empty())
      reserve_positions(static_cast<std::size_t>(std::max(0, std::ranges::max(batch.positions))) +
                        1);
  }

  /// Attention of the tokens of a batch over those before them in their sequence.
  static auto self_attention(tape<T>& t, const token_batch& batch) {
    return [&t, &batch](std::size_t, variable<T> q, variable<T> k, variable<T> v,
                        const attention_shape& shape) {
      return graph::attention<T>(t, q, k, v, batch.offsets, shape);
    };
  }

  template <class Attend, class Hook>
  variable<T> run_layer(tape<T>& t, std::size_t index, variable<T> x, const token_batch& batch,
                        Attend&& attend, taps<T>* seen, Hook&& hook) {
    layer& l = layers_[index];
    x = graph::residual(t, x, [&](variable<T> in) {
      return attention(t, l, in, batch, index, attend, seen, hook);
    });
    x = graph::residual(t, x, [&](variable<T> in) { return feed_forward(t, l, in, hook); });
    if (seen != nullptr) seen->fill(t, {index, tap_point::hidden}, x);
    return x;
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

  /// Packed weights may add their result to `onto`, unless it is null, and then return that.
  variable<T> project(tape<T>& t, projection_type& p, variable<T> x, auto&& hook,
                      variable<T> onto = {}) {
    const variable<T> bias = p.bias_variable();
    if (p.packed)
      return graph::packed_linear(
          t, x, std::array{graph::packed_operand<T>{*p.packed, bias}}, activation_quantizer(),
          {p.norm ? p.norm->variable() : variable<T>{}, config_.sub_ln_eps}, onto)[0];
    if (p.norm) {
      hook.before_norm(p, x);
      x = graph::rms_norm(t, x, p.norm->variable(), config_.sub_ln_eps);
    }
    hook.before_product(p, x);
    if (!p.ternary) return graph::linear(t, x, p.weight.variable(), bias);
    if (p.scales)
      return graph::scaled_bit_linear<T>(t, x, p.weight.variable(), p.scales->variable(),
                                         p.scale_block, bias, activation_quantizer(), clipped_);
    if (lambda_ != T(1))
      return graph::linear(t, graph::ste(t, x, lambda_, activation_quantizer()),
                           graph::ste(t, p.weight.variable(), lambda_, weight_quantizer()), bias);
    return graph::bit_linear<T>(t, x, p.weight.variable(), bias, weight_quantizer(),
                                activation_quantizer());
  }

  /// Several projections of one norm(x). Where all are packed and have no norm of their own,
  /// norm(x) is quantized once for all of them.
  template <class Hook, class... P>
  std::array<variable<T>, sizeof...(P)> project_all(tape<T>& t, variable<T> x, parameter_type& gain,
                                                    Hook&& hook, P&... p) {
    if (((p.packed && !p.norm) && ...))
      return graph::packed_linear(
          t, x, std::array{graph::packed_operand<T>{*p.packed, p.bias_variable()}...},
          activation_quantizer(),
          graph::norm_operand<T>{gain.variable(), config_.rms_norm_eps, config_.norm_offset()});
    x = normalize(t, x, gain);
    return {project(t, p, x, hook)...};
  }

  template <class Attend, class Hook>
  variable<T> attention(tape<T>& t, layer& l, variable<T> x, const token_batch& batch,
                        std::size_t index, Attend& attend, taps<T>* seen, Hook&& hook) {
    const auto [q_raw, k_raw, v] = project_all(t, x, l.attention_norm, hook, l.q, l.k, l.v);
    const variable<T> q = normalize(t, q_raw, l.q_norm), k = normalize(t, k_raw, l.k_norm);
    const rope_table<T>& angles = l.sliding && local_rope_ ? *local_rope_ : rope_;
    graph::rope<T>(t, q, batch.positions, angles);
    graph::rope<T>(t, k, batch.positions, angles);
    const attention_shape shape{config_.num_attention_heads, config_.num_key_value_heads,
                                config_.head_dim, config_.attention_scale(),
                                l.sliding ? config_.sliding_window : 0};
    if (seen != nullptr) {
      seen->fill(t, {index, tap_point::q}, q);
      seen->fill(t, {index, tap_point::k}, k);
      seen->fill(t, {index, tap_point::v}, v);
    }
    const variable<T> y = attend(index, q, k, v, shape);
    if (!l.attention_output_norm) return project(t, l.o, y, hook, x);
    return normalize(t, project(t, l.o, y, hook), *l.attention_output_norm);
  }

  template <class Hook>
  variable<T> feed_forward(tape<T>& t, layer& l, variable<T> x, Hook&& hook) {
    const auto [gate, up] = project_all(t, x, l.feed_forward_norm, hook, l.gate, l.up);
    const variable<T> activated = graph::gated_activation(t, config_.hidden_act, gate, up);
    if (!l.feed_forward_output_norm) return project(t, l.down, activated, hook, x);
    return normalize(t, project(t, l.down, activated, hook), *l.feed_forward_output_norm);
  }

  model_config config_;
  clipped_gradient clipped_ = clipped_gradient::straight;
  scalar lambda_ = 1;  // of set_quantization()
  rope_table<T> rope_;
  std::optional<rope_table<T>> local_rope_;
  projection_type embedding_;
  parameter_type norm_;
  std::optional<projection_type> lm_head_;
  std::vector<layer> layers_;
};

}  // namespace tern::inline TERN_ABI
