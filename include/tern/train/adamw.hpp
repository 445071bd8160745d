// The AdamW optimizer.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <span>
#include <vector>

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
  double weight_decay = 0.01;                   ///< decay of matrices and tables
  /// Leave out elements whose update would raise the loss to first order, because momentum and
  /// gradient differ in sign, and enlarge the others so that the mean factor is 1 (cautious
  /// optimizers, arXiv 2411.16085).
  bool cautious = false;

  /// Throws config_error where an option is out of the range that PyTorch has for it.
  void validate() const {
    require_in_range(beta1, 1, "adamw: beta1");
    require_in_range(beta2, 1, "adamw: beta2");
    require_in_range(eps, unbounded, "adamw: eps");
    require_in_range(weight_decay, unbounded, "adamw: weight_decay");
  }
};

/// AdamW over the parameters of a model.
template <matrix_owner Owner>
class adamw final : public optimizer<Owner> {
 public:
  using T = scalar_of<Owner>;     ///< type of an element
  using options = adamw_options;  ///< what a recipe can set

  /// Not attached to a model yet; the trainer does that. Throws config_error where an option is out
  /// of range.
  explicit adamw(const options& o = {}) : options_((o.validate(), o)) {}
  /// An optimizer that is attached to `model` already.
  template <class Model>
    requires requires(Model& m) { m.for_each_parameter([](auto&) {}); }
  explicit adamw(Model& model, const options& o = {}) : adamw(o) {
    this->attach(model);
  }

  [[nodiscard]] std::span<const char* const> moment_names() const override { return names; }

 private:
  static constexpr std::array names{"m", "v"};

  void update(parameter<Owner>& p, std::span<Owner> moments, const update_options& u,
              executor_ref ex) override {
    using batch = simd::batch<T>;
    const matrix_view<T> w = p.value, g = p.grad, m = moments[0], v = moments[1];
    const double decay = options_.weight_decay * u.decay;
    const auto n = static_cast<double>(u.step);
    const batch scale(static_cast<T>(u.gradient_scale));
    const batch b1(static_cast<T>(options_.beta1)), c1(static_cast<T>(1 - options_.beta1));
    const batch b2(static_cast<T>(options_.beta2)), c2(static_cast<T>(1 - options_.beta2));
    const batch lr(static_cast<T>(u.rate / (1 - std::pow(options_.beta1, n))));
    const batch inv_v(static_cast<T>(1 / (1 - std::pow(options_.beta2, n))));
    const batch eps(static_cast<T>(options_.eps)), keep(static_cast<T>(1 - u.rate * decay));
    const auto step_of = [&](const batch& m1, const batch& v1) {
      return lr * m1 / (simd::sqrt(v1 * inv_v) + eps);
    };
    const auto moments_of = [&](const batch& m0, const batch& v0, const batch& x) {
      return std::array{b1 * m0 + c1 * x, b2 * v0 + c2 * (x * x)};
    };
    if (!options_.cautious)
      return for_each_row(w.rows, w.cols, ex, [&](std::size_t r) {
        const row_view<T> wr = w.row(r), gr = g.row(r), mr = m.row(r), vr = v.row(r);
        simd::transform(
            std::array{mr, vr, wr, gr},
            [&](const batch& m0, const batch& v0, const batch& w0, const batch& d) {
              const auto [m1, v1] = moments_of(m0, v0, scale * d);
              return std::array{m1, v1, keep * w0 - step_of(m1, v1), batch(T(0))};
            },
            mr, vr, wr, gr);
      });

    for_each_row(w.rows, w.cols, ex, [&](std::size_t r) {
      const row_view<T> mr = m.row(r), vr = v.row(r), gr = g.row(r);
      simd::transform(
          std::array{mr, vr},
          [&](const batch& m0, const batch& v0, const batch& d) {
            return moments_of(m0, v0, scale * d);
          },
          mr, vr, gr);
    });
    const batch enlarged(static_cast<T>(1 / std::max(share_of_agreement(m, g, ex), 1e-3)));
    for_each_row(w.rows, w.cols, ex, [&](std::size_t r) {
      const row_view<T> wr = w.row(r), gr = g.row(r);
      simd::transform(
          std::array{wr, gr},
          [&](const batch& w0, const batch& d, const batch& m1, const batch& v1) {
            const batch step = simd::select(m1 * d > batch(T(0)), enlarged, batch(T(0)));
            return std::array{keep * w0 - step * step_of(m1, v1), batch(T(0))};
          },
          wr, gr, m.row(r), v.row(r));
    });
  }

  /// The fraction of elements whose momentum and gradient have the same sign.
  static double share_of_agreement(matrix_view<const T> m, matrix_view<const T> g,
                                   executor_ref ex) {
    std::vector<double> counts(m.rows);  // a row has fewer elements than float counts exactly
    for_each_row(m.rows, m.cols, ex, [&](std::size_t r) {
      counts[r] = static_cast<double>(simd::fold(
          T(0), [](const auto& a, const auto& b) { return a + b; },
          [](const simd::batch<T>& x, const simd::batch<T>& y) {
            return simd::select(x * y > simd::batch<T>(T(0)), simd::batch<T>(T(1)),
                                simd::batch<T>(T(0)));
          },
          m.row(r), g.row(r)));
    });
    const double agreeing = std::accumulate(counts.begin(), counts.end(), 0.0);
    return m.size() == 0 ? 1 : agreeing / static_cast<double>(m.size());
  }

  options options_;
};

}  // namespace tern::inline TERN_ABI
