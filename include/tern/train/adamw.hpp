// The AdamW optimizer.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <span>

#include "tern/core/executor.hpp"
#include "tern/core/simd.hpp"
#include "tern/train/optimizer.hpp"

namespace tern::inline TERN_ABI {

/// Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
struct adamw_options {
  static constexpr const char* name = "adamw";  ///< key in recipes
  double beta1 = 0.9;                           ///< decay rate of the mean of gradients
  double beta2 = 0.95;                          ///< decay rate of the mean of squared gradients
  double eps = 1e-8;                            ///< added to the root of the second moment
  double weight_decay = 0.01;                   ///< decay of matrices; vectors are not decayed
};

/// AdamW over the parameters of a model.
template <matrix_owner Owner>
class adamw final : public optimizer<Owner> {
 public:
  using T = scalar_of<Owner>;     ///< type of an element
  using options = adamw_options;  ///< what a recipe can set

  /// Not attached to a model yet; the trainer does that.
  explicit adamw(const options& o = {}) : options_(o) {}
  /// An optimizer that is attached to `model` already.
  template <class Model>
    requires requires(Model& m) { m.for_each_parameter([](auto&) {}); }
  explicit adamw(Model& model, const options& o = {}) : options_(o) {
    this->attach(model);
  }

  [[nodiscard]] std::span<const char* const> moment_names() const override { return names; }

 private:
  static constexpr std::array names{"m", "v"};

  void update(parameter<Owner>& p, std::span<Owner> moments, const update_options& u,
              executor_ref ex) override {
    using batch = simd::batch<T>;
    const matrix_view<T> w = p.value, g = p.grad, m = moments[0], v = moments[1];
    const double decay = p.is_vector() ? 0.0 : options_.weight_decay * u.decay;
    const auto n = static_cast<double>(u.step);
    const batch scale(static_cast<T>(u.gradient_scale));
    const batch b1(static_cast<T>(options_.beta1)), c1(static_cast<T>(1 - options_.beta1));
    const batch b2(static_cast<T>(options_.beta2)), c2(static_cast<T>(1 - options_.beta2));
    const batch lr(static_cast<T>(u.rate / (1 - std::pow(options_.beta1, n))));
    const batch inv_v(static_cast<T>(1 / (1 - std::pow(options_.beta2, n))));
    const batch eps(static_cast<T>(options_.eps)), keep(static_cast<T>(1 - u.rate * decay));
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

  options options_;
};

}  // namespace tern::inline TERN_ABI
