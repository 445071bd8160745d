// AdamW (Loshchilov and Hutter 2019) over the parameters of a model, with clipping of the global
// gradient norm. Masters and moments have the scalar of the owner type (fp32 by default: bf16
// masters lose the small updates of ternary training).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

#include "tern/core/executor.hpp"
#include "tern/core/simd.hpp"
#include "tern/model/parameter.hpp"

namespace tern::inline TERN_ABI {

/// Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
struct adamw_options {
  /// Decay rates of the two moments; what is added to the root of the second.
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double weight_decay = 0.01;  ///< matrices only; gains and biases are never decayed
};

template <matrix_owner Owner>
class adamw {
 public:
  using T = scalar_of<Owner>;  ///< of an element

  /// First and second moment of one parameter, in the order of for_each_parameter.
  struct moments {
    Owner m, v;  ///< mean of gradients, of their squares
  };

  /// Zeroed moments for every parameter of `model`.
  template <class Model>
  adamw(Model& model, const adamw_options& options) : options_(options) {
    model.for_each_parameter([&](parameter<Owner>& p) {
      const auto s = p.view();
      moments_.push_back(
          {tensor_traits<Owner>::make(s.rows, s.cols), tensor_traits<Owner>::make(s.rows, s.cols)});
    });
  }

  /// One update with learning rate `rate` and decay factor `decay`; gradients are multiplied by
  /// `gradient_scale` (clipping, accumulation) and zeroed.
  template <class Model>
  void step(Model& model, double rate, double decay, double gradient_scale, executor_ref ex = {}) {
    ++steps_;
    std::size_t index = 0;
    model.for_each_parameter([&](parameter<Owner>& p) {
      update(p, moments_[index++], rate, p.is_vector() ? 0.0 : options_.weight_decay * decay,
             gradient_scale, ex);
    });
  }

  /// Updates done so far: the bias correction's exponent.
  [[nodiscard]] std::size_t steps() const { return steps_; }
  void restore_steps(std::size_t n) { steps_ = n; }  ///< from a checkpoint
  /// One a parameter, for checkpoints.
  [[nodiscard]] std::vector<moments>& state() { return moments_; }

 private:
  void update(parameter<Owner>& p, moments& s, double rate, double decay, double gradient_scale,
              executor_ref ex) {
    using batch = simd::batch<T>;
    const matrix_view<T> w = p.value, g = p.grad, m = s.m, v = s.v;
    const auto n = static_cast<double>(steps_);
    const batch scale(static_cast<T>(gradient_scale));
    const batch b1(static_cast<T>(options_.beta1)), c1(static_cast<T>(1 - options_.beta1));
    const batch b2(static_cast<T>(options_.beta2)), c2(static_cast<T>(1 - options_.beta2));
    const batch lr(static_cast<T>(rate / (1 - std::pow(options_.beta1, n))));
    const batch inv_v(static_cast<T>(1 / (1 - std::pow(options_.beta2, n))));
    const batch eps(static_cast<T>(options_.eps)), keep(static_cast<T>(1 - rate * decay));
    for_each_row(w.rows, w.cols, ex, [&](std::size_t r) {
      const row_view<T> wr = w.row(r), gr = g.row(r), mr = m.row(r), vr = v.row(r);
      simd::transform(
          std::array{mr, vr, wr, gr},
          [&](const batch& m0, const batch& v0, const batch& w0, const batch& d) {
            const batch x = scale * d, m1 = b1 * m0 + c1 * x, v1 = b2 * v0 + c2 * (x * x);
            const batch w1 = keep * w0 - lr * m1 / (xsimd::sqrt(v1 * inv_v) + eps);
            return std::array{m1, v1, w1, batch(T(0))};
          },
          mr, vr, wr, gr);
    });
  }

  adamw_options options_;
  std::vector<moments> moments_;
  std::size_t steps_ = 0;
};

/// Euclidean norm of all gradients together. Rows add up in chunks that depend on the shape alone.
template <class Model>
double gradient_norm(Model& model, executor_ref ex = {}) {
  double total = 0;
  model.for_each_parameter([&](auto& p) {
    const matrix_view<typename Model::scalar> g = p.grad;
    std::array<double, 64> partial{};
    const std::size_t grain =
        std::max(rows_per_chunk(g.cols), (g.rows + partial.size() - 1) / partial.size());
    ex.parallel_for(g.rows, grain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t r = begin; r < end; ++r)
        partial[begin / grain] += static_cast<double>(simd::dot(g.row(r), g.row(r)));
    });
    total = std::accumulate(partial.begin(), partial.end(), total);
  });
  return std::sqrt(total);
}

}  // namespace tern::inline TERN_ABI
