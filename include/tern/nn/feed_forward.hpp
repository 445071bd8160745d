// The elementwise part of a gated feed-forward layer, y = act(gate) * up (Shazeer, "GLU Variants
// Improve Transformer", 2020): SwiGLU, GeGLU, and the squared ReLU of BitNet b1.58 2B4T.
#pragma once

#include <array>
#include <cstddef>
#include <numbers>

#include "tern/core/error.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/simd.hpp"
#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// Activation function of the gate g.
enum class activation {
  silu,       ///< g / (1 + exp(-g))
  gelu_tanh,  ///< the tanh approximation of GELU (Hendrycks and Gimpel 2016; Gemma)
  gelu,       ///< g Phi(g), where Phi is the normal distribution function
  relu2,      ///< max(g, 0)^2
};

namespace detail {

/// Value and derivative of an activation, for every lane.
template <class B>
struct value_and_slope {
  B value, slope;
};

template <class B>
B sigmoid(const B& x) {
  return B(1) / (B(1) + simd::exp(-x));
}

struct silu {
  template <class B>
  static value_and_slope<B> at(const B& g) {
    const B s = sigmoid(g);
    return {g * s, s * (B(1) + g * (B(1) - s))};
  }
};

struct gelu_tanh {
  /// (1 + tanh(u)) / 2 = sigmoid(2u) with u = sqrt(2/pi) (g + 0.044715 g^3).
  template <class B>
  static value_and_slope<B> at(const B& g) {
    using T = typename B::value_type;
    const B twice(static_cast<T>(2 * std::numbers::sqrt2 * std::numbers::inv_sqrtpi));
    const B cubic(static_cast<T>(0.044715)), square = g * g;
    const B s = sigmoid(twice * g * (B(1) + cubic * square));
    return {g * s, s + g * s * (B(1) - s) * twice * (B(1) + B(3) * cubic * square)};
  }
};

struct gelu {
  template <class B>
  static value_and_slope<B> at(const B& g) {
    using T = typename B::value_type;
    constexpr double inv_sqrt2 = 1 / std::numbers::sqrt2;
    const B half(static_cast<T>(0.5)), scaled = g * B(static_cast<T>(inv_sqrt2));
    const B distribution = half * (B(1) + simd::erf(scaled));
    const B density =
        B(static_cast<T>(inv_sqrt2 * std::numbers::inv_sqrtpi)) * simd::exp(-half * g * g);
    return {g * distribution, distribution + g * density};
  }
};

struct relu2 {
  template <class B>
  static value_and_slope<B> at(const B& g) {
    const B positive = simd::max(g, B(0));
    return {positive * positive, positive + positive};
  }
};

/// Calls f with the policy that `a` names.
template <class F>
void with_activation(activation a, F&& f) {
  switch (a) {
    case activation::silu:
      return f(silu{});
    case activation::gelu_tanh:
      return f(gelu_tanh{});
    case activation::gelu:
      return f(gelu{});
    case activation::relu2:
      return f(relu2{});
  }
  throw config_error("gated_activation: unknown activation");
}

}  // namespace detail

/// The product act(gate) * up, element by element, and its gradient.
template <class T>
struct gated_activation {
  /// y = act(gate) * up. All matrices are (N, F); y may be the same matrix as gate or up.
  static void forward(activation a, matrix_view<const T> gate, matrix_view<const T> up,
                      matrix_view<T> y, executor_ref ex = {}) {
    require_shape(gate, y.rows, y.cols, "gated_activation: gate");
    require_shape(up, y.rows, y.cols, "gated_activation: up");
    detail::with_activation(a, [&](auto act) {
      for_each_row(y.rows, y.cols, ex, [&](std::size_t r) {
        simd::transform(
            y.row(r), [&](const auto& g, const auto& u) { return act.at(g).value * u; },
            gate.row(r), up.row(r));
      });
    });
  }

  /// dgate += dy up act'(gate), dup += dy act(gate). Null outputs are skipped.
  static void backward(activation a, matrix_view<const T> dy, matrix_view<const T> gate,
                       matrix_view<const T> up, matrix_view<T> dgate, matrix_view<T> dup,
                       executor_ref ex = {}) {
    require_shape(gate, dy.rows, dy.cols, "gated_activation: gate");
    require_shape(up, dy.rows, dy.cols, "gated_activation: up");
    if (dgate) require_shape(dgate, dy.rows, dy.cols, "gated_activation: dgate");
    if (dup) require_shape(dup, dy.rows, dy.cols, "gated_activation: dup");
    detail::with_activation(a, [&](auto act) {
      for_each_row(dy.rows, dy.cols, ex, [&](std::size_t r) {
        T nowhere(0);
        const auto row = [&](matrix_view<T> m) {
          return m ? m.row(r) : row_view<T>(&nowhere, dy.cols, 0);
        };
        const row_view<T> g_out = row(dgate), u_out = row(dup);
        simd::transform(
            std::array{g_out, u_out},
            [&](const auto& d, const auto& g, const auto& u, const auto& dg, const auto& du) {
              const auto [value, slope] = act.at(g);
              return std::array{simd::batch<T>(dg + d * u * slope), simd::batch<T>(du + d * value)};
            },
            dy.row(r), gate.row(r), up.row(r), row_view<const T>(g_out), row_view<const T>(u_out));
      });
    });
  }
};

}  // namespace tern::inline TERN_ABI
