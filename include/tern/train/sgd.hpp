// Stochastic gradient descent with momentum.
#pragma once

#include <array>
#include <span>

#include "tern/core/executor.hpp"
#include "tern/core/simd.hpp"
#include "tern/train/moment.hpp"
#include "tern/train/optimizer.hpp"

namespace tern::inline TERN_ABI {

/// Heavy-ball momentum (Polyak 1964), with the formula of PyTorch and the decoupled weight decay of
/// AdamW.
struct sgd_options {
  static constexpr const char* name = "sgd";    ///< key in recipes
  double momentum = 0.9;                        ///< share of the last update that is kept
  double weight_decay = 0.01;                   ///< decay of matrices and tables
  moment_format moments = moment_format::real;  ///< how the momentum is stored

  /// Throws config_error where an option is out of the range that PyTorch has for it.
  void validate() const {
    require_in_range(momentum, unbounded, "sgd: momentum");
    require_in_range(weight_decay, unbounded, "sgd: weight_decay");
  }
};

/// Gradient descent with momentum over the parameters of a model.
template <matrix_owner Owner>
class sgd final : public optimizer<Owner> {
 public:
  using T = scalar_of<Owner>;   ///< type of an element
  using options = sgd_options;  ///< what a recipe can set

  /// Not attached to a model yet; the trainer does that. Throws config_error where an option is out
  /// of range.
  explicit sgd(const options& o = {}) : optimizer<Owner>(o.moments), options_((o.validate(), o)) {}

  [[nodiscard]] std::span<const moment_kind> moment_kinds() const override { return kinds; }

 private:
  static constexpr std::array kinds{moment_kind{"m", true}};

  void update(const parameter_rows<Owner>& rows, const update_options& u,
              executor_ref ex) override {
    using batch = simd::batch<T>;
    const matrix_view<T> w = rows.value, g = rows.grad;
    const double decay = options_.weight_decay * u.decay;
    const batch scale(static_cast<T>(u.gradient_scale)), lr(static_cast<T>(u.rate));
    const batch mu(static_cast<T>(options_.momentum)), keep(static_cast<T>(1 - u.rate * decay));
    for_each_part<1>(rows.moments, ex, [&](std::size_t r, std::size_t first, const auto& parts) {
      const row_view<T> mr = parts[0], wr = part_of(w.row(r), first, mr.size),
                        gr = part_of(g.row(r), first, mr.size);
      simd::transform(
          std::array{mr, wr, gr},
          [&](const batch& m0, const batch& w0, const batch& d) {
            const batch m1 = mu * m0 + scale * d;
            return std::array{m1, keep * w0 - lr * m1, batch(T(0))};
          },
          mr, wr, gr);
    });
  }

  options options_;
};

}  // namespace tern::inline TERN_ABI
