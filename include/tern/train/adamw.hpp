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
#include "tern/train/moment.hpp"
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
  moment_format moments = moment_format::real;  ///< how both moments are stored

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
  explicit adamw(const options& o = {})
      : optimizer<Owner>(o.moments), options_((o.validate(), o)) {}
  /// An optimizer that is attached to `model` already.
  template <class Model>
    requires requires(Model& m) { m.for_each_parameter([](auto&) {}); }
  explicit adamw(Model& model, const options& o = {}) : adamw(o) {
    this->attach(model);
  }

  [[nodiscard]] std::span<const moment_kind> moment_kinds() const override { return kinds; }

 private:
  static constexpr std::array kinds{moment_kind{"m", true}, moment_kind{"v", false}};

  void update(const parameter_rows<Owner>& rows, const update_options& u,
              executor_ref ex) override {
    using batch = simd::batch<T>;
    const matrix_view<T> w = rows.value, g = rows.grad;
    const double decay = options_.weight_decay * u.decay;
    const auto n = static_cast<double>(u.step);
    const batch scale(static_cast<T>(u.gradient_scale));
    const auto mean_of = next_mean(u);
    const batch b2(static_cast<T>(options_.beta2)), c2(static_cast<T>(1 - options_.beta2));
    const batch lr(static_cast<T>(u.rate / (1 - std::pow(options_.beta1, n))));
    const batch inv_v(static_cast<T>(1 / (1 - std::pow(options_.beta2, n))));
    const batch eps(static_cast<T>(options_.eps)), keep(static_cast<T>(1 - u.rate * decay));
    const auto update_with = [&](auto&& weight_of) {
      for_each_part<2>(rows.moments, ex, [&](std::size_t r, std::size_t first, const auto& parts) {
        const row_view<T> mr = parts[0], vr = parts[1], wr = part_of(w.row(r), first, mr.size),
                          gr = part_of(g.row(r), first, mr.size);
        simd::transform(
            std::array{mr, vr, wr, gr},
            [&](const batch& m0, const batch& v0, const batch& w0, const batch& d) {
              const batch x = scale * d, m1 = mean_of(m0, d), v1 = b2 * v0 + c2 * (x * x);
              const batch step = lr * m1 / (simd::sqrt(v1 * inv_v) + eps);
              return std::array{m1, v1, weight_of(keep * w0, step, m1, d), batch(T(0))};
            },
            mr, vr, wr, gr);
      });
    };
    if (!options_.cautious)
      return update_with([](const batch& kept, const batch& step, const batch& /*mean*/,
                            const batch& /*gradient*/) { return kept - step; });
    const batch enlarged(static_cast<T>(1 / std::max(u.counted, 1e-3)));
    update_with([&](const batch& kept, const batch& step, const batch& m1, const batch& d) {
      return kept - simd::select(m1 * d > batch(T(0)), enlarged, batch(T(0))) * step;
    });
  }

  /// Cautious updates depend on the share of elements whose next momentum has the sign of the
  /// gradient.
  [[nodiscard]] bool counts() const override { return options_.cautious; }
  [[nodiscard]] double count(const parameter_rows<Owner>& rows, const update_options& u,
                             executor_ref ex) const override {
    using batch = simd::batch<T>;
    const matrix_view<const T> g = rows.grad;
    const auto mean_of = next_mean(u);
    std::vector<double> counts(g.rows);  // a row has fewer elements than float counts exactly
    for_each_part<1, false>(
        rows.moments, ex, [&](std::size_t r, std::size_t first, const auto& parts) {
          counts[r] += static_cast<double>(simd::sum(
              [&](const batch& m0, const batch& d) {
                return simd::select(mean_of(m0, d) * d > batch(T(0)), batch(T(1)), batch(T(0)));
              },
              row_view<const T>(parts[0]), part_of(g.row(r), first, parts[0].size)));
        });
    return std::accumulate(counts.begin(), counts.end(), 0.0);
  }

  /// The next mean of gradients, a function of the last one and of the gradient.
  [[nodiscard]] auto next_mean(const update_options& u) const {
    using batch = simd::batch<T>;
    const batch scale(static_cast<T>(u.gradient_scale)), b1(static_cast<T>(options_.beta1)),
        c1(static_cast<T>(1 - options_.beta1));
    return [=](const batch& m0, const batch& d) { return b1 * m0 + c1 * (scale * d); };
  }

  options options_;
};

}  // namespace tern::inline TERN_ABI
