// An optimizer: a rule that updates one parameter, and the moments that it keeps for each
// parameter.
#pragma once

#include <cstddef>
#include <limits>
#include <span>
#include <sstream>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/is_finite.hpp"
#include "tern/model/parameter.hpp"
#include "tern/train/gradient_norm.hpp"
#include "tern/train/moment.hpp"

namespace tern::inline TERN_ABI {

/// The upper end of a range that has none.
inline constexpr double unbounded = std::numeric_limits<double>::infinity();

/// Throws config_error naming `what` unless `value` is a number in [0, end).
inline void require_in_range(double value, double end, const char* what) {
  if (is_finite(value) && value >= 0 && value < end) return;
  std::ostringstream text;
  text << what << ": expected a number " << (is_finite(end) ? "in [0, " : "of at least 0");
  if (is_finite(end)) text << end << ')';
  text << ", got " << value;
  throw config_error(text.str());
}

/// Factors on the learning rate for kinds of parameters. A trainer computes no gradients for a kind
/// whose factor is 0, and leaves its parameters as they are.
struct rate_factors {
  double matrices = 1;     ///< weights of the linears of all layers
  double tables = 1;       ///< embedding and head
  double vectors = 1;      ///< gains of norms, and biases
  double scales = 1;       ///< scales of ternary weights
  bool by_spread = false;  ///< multiply by the root mean square of the parameter's elements, too

  /// The factor for a kind, without that of the spread.
  [[nodiscard]] double of(parameter_kind kind) const {
    switch (kind) {
      case parameter_kind::matrix:
        return matrices;
      case parameter_kind::table:
        return tables;
      case parameter_kind::vector:
        return vectors;
      case parameter_kind::scales:
        return scales;
    }
    throw config_error("rate_factors: unknown kind of parameter");
  }

  /// Throws config_error where a factor is negative or not finite.
  void validate() const {
    require_in_range(matrices, unbounded, "trainer: factor of the rate of matrices");
    require_in_range(tables, unbounded, "trainer: factor of the rate of tables");
    require_in_range(vectors, unbounded, "trainer: factor of the rate of vectors");
    require_in_range(scales, unbounded, "trainer: factor of the rate of scales");
  }
};

/// What an update of a parameter depends on besides its gradient.
struct update_options {
  double rate = 0;            ///< learning rate of the parameter in this step
  double decay = 0;           ///< factor in [0, 1] on the weight decay; 0 for vectors and scales
  double gradient_scale = 1;  ///< gradients are multiplied by it (clipping, accumulation)
  std::size_t step = 1;       ///< number of the update, counted from 1
};

/// An optimizer over the parameters of a model. Masters have the scalar of the owner type (fp32 by
/// default: bf16 masters lose the small updates of ternary training), and so do moments unless they
/// are stored as codes.
template <matrix_owner Owner>
class optimizer {
 public:
  using T = scalar_of<Owner>;  ///< type of an element

  /// Stores the moments of matrices and tables in this format.
  explicit optimizer(moment_format format = moment_format::real) : format_(format) {}
  optimizer(const optimizer&) = delete;
  optimizer& operator=(const optimizer&) = delete;
  virtual ~optimizer() = default;

  /// The moments that each parameter has.
  [[nodiscard]] virtual std::span<const moment_kind> moment_kinds() const = 0;
  /// How the moments of a parameter are stored: those of gains, biases and scales, which are few,
  /// always as they are.
  [[nodiscard]] moment_format format_of(parameter_kind kind) const {
    const bool many = kind == parameter_kind::matrix || kind == parameter_kind::table;
    return many ? format_ : moment_format::real;
  }
  /// Bytes of the moments of a parameter, which needs no value.
  [[nodiscard]] std::size_t moment_bytes(const parameter<Owner>& p) const {
    return moment_kinds().size() * moment<Owner>::bytes(p.shape, format_of(p.kind));
  }

  /// Takes zeroed moments for every parameter of `model` whose factor is not 0. Called once, before
  /// the first step.
  template <class Model>
  void attach(Model& model, const rate_factors& factors = {}) {
    moments_.clear();
    model.for_each_parameter([&](parameter<Owner>& p) {
      const auto s = p.view();
      std::vector<moment<Owner>>& list = moments_.emplace_back();
      if (factors.of(p.kind) == 0) return;
      for (const moment_kind& kind : moment_kinds())
        list.emplace_back(s.rows, s.cols, format_of(p.kind), kind.has_sign);
    });
  }

  /// One update with learning rate `rate` times the factors; gradients are multiplied by
  /// `gradient_scale` and zeroed. Weight decay, of matrices and tables, is multiplied by `decay`.
  /// Parameters without a gradient stay as they are. The factors must be those of attach().
  template <class Model>
  void step(Model& model, double rate, double decay, double gradient_scale, executor_ref ex = {},
            const rate_factors& factors = {}) {
    ++steps_;
    std::size_t index = 0;
    model.for_each_parameter([&](parameter<Owner>& p) {
      const std::size_t i = index++;
      if (matrix_view<T>(p.grad).size() != p.view().size()) return;
      const bool decays = p.kind == parameter_kind::matrix || p.kind == parameter_kind::table;
      const double spread =
          factors.by_spread ? root_mean_square<T>(std::as_const(p).view(), ex) : 1.0;
      update(p, moments_[i],
             {rate * factors.of(p.kind) * spread, decays ? decay : 0.0, gradient_scale, steps_},
             ex);
    });
  }

  /// Updates done so far.
  [[nodiscard]] std::size_t steps() const { return steps_; }
  void restore_steps(std::size_t n) { steps_ = n; }  ///< Sets steps() to that of a checkpoint.
  /// The moments of each parameter, in the order of for_each_parameter; none of one whose factor is
  /// 0.
  [[nodiscard]] std::vector<std::vector<moment<Owner>>>& moments() { return moments_; }

 private:
  /// Updates the value of `p`, and its moments, and zeroes its gradient.
  virtual void update(parameter<Owner>& p, std::span<moment<Owner>> moments,
                      const update_options& u, executor_ref ex) = 0;

  moment_format format_;
  std::vector<std::vector<moment<Owner>>> moments_;
  std::size_t steps_ = 0;
};

}  // namespace tern::inline TERN_ABI
