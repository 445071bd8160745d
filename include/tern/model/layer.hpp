// One layer of a decoder: its parameters under Hugging Face's names.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "tern/model/config.hpp"
#include "tern/model/parameter.hpp"

namespace tern::inline TERN_ABI {

/// A layer computes x += output_norm(attention(norm(x))), and then the same with the feed-forward.
/// The output norms exist where the configuration has them.
template <matrix_owner Owner>
struct decoder_layer {
  using gain_type = parameter<Owner>;         ///< parameter of a norm
  using projection_type = projection<Owner>;  ///< parameters of a linear

  gain_type attention_norm, feed_forward_norm;  ///< (1, hidden_size)
  /// The first two are (1, hidden_size), the others (1, head_dim).
  std::optional<gain_type> attention_output_norm, feed_forward_output_norm, q_norm, k_norm;
  projection_type q, k, v, o, gate, up, down;  ///< Hugging Face's q_proj ... down_proj
  bool sliding = false;                        ///< whether attention has a window

  /// A layer with zero weights and with norms that multiply by one. Weights have no value yet
  /// unless `allocated`. Stage 1 is not applied.
  static decoder_layer make(const model_config& c, std::size_t index, bool allocated = true) {
    const std::string at = "model.layers." + std::to_string(index) + ".";
    const std::size_t d = c.hidden_size, f = c.intermediate_size;
    const auto norm = [&](const char* name, std::size_t n) {
      return gain(c, at + name + ".weight", n);
    };
    const auto project = [&](const std::string& name, std::size_t out, std::size_t in, bool bias) {
      projection_type p;
      p.weight = {at + name + ".weight", out, in, allocated};
      if (bias) p.bias.emplace(at + name + ".bias", 1, out);
      return p;
    };
    decoder_layer l;
    l.attention_norm = norm("input_layernorm", d);
    l.q = project("self_attn.q_proj", c.q_width(), d, c.attention_bias);
    l.k = project("self_attn.k_proj", c.kv_width(), d, c.attention_bias);
    l.v = project("self_attn.v_proj", c.kv_width(), d, c.attention_bias);
    l.o = project("self_attn.o_proj", d, c.q_width(), c.output_bias);
    l.gate = project("mlp.gate_proj", f, d, false);
    l.up = project("mlp.up_proj", f, d, false);
    l.down = project("mlp.down_proj", d, f, false);
    l.sliding = c.sliding(index);
    // In Gemma, "post" names the norm behind attention, in other families the norm between
    // attention and feed-forward.
    l.feed_forward_norm =
        norm(c.output_norms ? "pre_feedforward_layernorm" : "post_attention_layernorm", d);
    if (c.output_norms) {
      l.attention_output_norm = norm("post_attention_layernorm", d);
      l.feed_forward_output_norm = norm("post_feedforward_layernorm", d);
    }
    if (c.qk_norm) {
      l.q_norm = norm("self_attn.q_norm", c.head_dim);
      l.k_norm = norm("self_attn.k_norm", c.head_dim);
    }
    return l;
  }

  /// The weight of a norm that multiplies by one.
  static gain_type gain(const model_config& c, const std::string& name, std::size_t n) {
    gain_type p(name, 1, n);
    p.fill(static_cast<scalar_of<Owner>>(1 - c.norm_offset()));
    return p;
  }

  /// Puts norms with gain 1 directly before projections, in place of any that are there.
  void place_norms(norm_placement placement) {
    for_each_projection([&](projection_type& p) {
      p.norm.reset();
      if (placement == norm_placement::all) put_norm(p, parent(p.weight.name) + "rms_norm.weight");
    });
    if (placement != norm_placement::subln) return;
    put_norm(o, parent(parent(o.weight.name)) + "attn_sub_norm.weight");
    put_norm(down, parent(parent(down.weight.name)) + "ffn_sub_norm.weight");
  }

  /// Gives every projection scales of zero as parameters, in place of any, or takes them away: see
  /// model_config::learned_scales.
  void place_scales(const model_config& c) {
    for_each_projection([&](projection_type& p) {
      p.scales.reset();
      if (c.learned_scales != scale_granularity::none)
        p.place_scales(c.scale_block(p.weight.shape));
    });
  }

  /// Calls f(projection&) for q, k, v, o, gate, up and down, in this order.
  template <class F>
  void for_each_projection(F&& f) {
    for (projection_type* p : {&q, &k, &v, &o, &gate, &up, &down}) f(*p);
  }

  /// Calls f(parameter&) for every parameter, always in the same order.
  template <class F>
  void for_each_parameter(F&& f) {
    const auto maybe = [&](std::optional<gain_type>& p) {
      if (p) f(*p);
    };
    f(attention_norm);
    maybe(q_norm);
    maybe(k_norm);
    maybe(attention_output_norm);
    f(feed_forward_norm);
    maybe(feed_forward_output_norm);
    for_each_projection([&](projection_type& p) {
      maybe(p.norm);
      f(p.weight);
      maybe(p.scales);
      maybe(p.bias);
    });
  }

 private:
  /// The name without its last part: "model.layers.0.mlp.down_proj." for
  /// "model.layers.0.mlp.down_proj.weight".
  static std::string parent(const std::string& name) {
    return name.substr(0, name.find_last_of('.', name.size() - 2) + 1);
  }

  static void put_norm(projection_type& p, const std::string& name) {
    p.norm.emplace(name, 1, p.weight.shape.cols);
    p.norm->fill(1);
  }
};

}  // namespace tern::inline TERN_ABI
