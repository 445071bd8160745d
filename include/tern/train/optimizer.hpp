// An optimizer: a rule that updates rows of a parameter, and the moments that it keeps for them.
// Each rank updates the rows that it owns, and gets the others from their owners.
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
#include "tern/core/reducer.hpp"
#include "tern/model/parameter.hpp"
#include "tern/train/flat_view.hpp"
#include "tern/train/gradient_norm.hpp"
#include "tern/train/moment.hpp"
#include "tern/train/row_shard.hpp"

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

/// Rows of a parameter with their gradients and moments.
template <matrix_owner Owner>
struct parameter_rows {
  matrix_view<scalar_of<Owner>> value;  ///< weights (rows, cols)
  matrix_view<scalar_of<Owner>> grad;   ///< gradients (rows, cols)
  std::span<moment<Owner>> moments;     ///< a moment (rows, cols) of each kind
};

/// What an update of a parameter depends on besides its gradient.
struct update_options {
  double rate = 0;            ///< learning rate of the parameter in this step
  double decay = 0;           ///< factor in [0, 1] on the weight decay; 0 for vectors and scales
  double gradient_scale = 1;  ///< gradients are multiplied by it (clipping, accumulation)
  std::size_t step = 1;       ///< number of the update, counted from 1
  double counted = 0;         ///< what count() gave for all rows, divided by the number of elements
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
  /// Bytes of the moments of a parameter, or of some of its rows.
  [[nodiscard]] std::size_t moment_bytes(parameter_kind kind, extents shape) const {
    return moment_kinds().size() * moment<Owner>::bytes(shape, format_of(kind));
  }

  /// Takes zeroed moments for the rows that this rank owns of every parameter of `model` whose
  /// factor is not 0. Called once, before the first step. The reducer must outlive this object.
  template <class Model>
  void attach(Model& model, const rate_factors& factors = {}, reducer& ranks = one_rank()) {
    ranks_ = &ranks;
    std::vector<extents> shapes;
    model.for_each_parameter([&](parameter<Owner>& p) {
      const auto s = p.view();
      shapes.push_back(factors.of(p.kind) == 0 ? extents{0, 0} : extents{s.rows, s.cols});
    });
    shard_ = row_shard(std::move(shapes), ranks.ranks());
    moments_.clear();
    model.for_each_parameter([&](parameter<Owner>& p) {
      const std::size_t rows = shard_.rows(moments_.size(), ranks.rank()).count;
      std::vector<moment<Owner>>& list = moments_.emplace_back();
      if (factors.of(p.kind) == 0) return;
      for (const moment_kind& kind : moment_kinds())
        list.emplace_back(rows, p.view().cols, format_of(p.kind), kind.has_sign);
    });
  }

  /// One update with learning rate `rate` times the factors, on every rank. Each rank has the
  /// gradients of the rows that it owns; they are multiplied by `gradient_scale` and zeroed. Weight
  /// decay, of matrices and tables, is multiplied by `decay`. Parameters without a gradient stay as
  /// they are. The factors must be those of attach().
  template <class Model>
  void step(Model& model, double rate, double decay, double gradient_scale, executor_ref ex = {},
            const rate_factors& factors = {}) {
    ++steps_;
    const update_options common{rate, decay, gradient_scale, steps_};
    const std::vector<double> counted = count_all(model, common, ex);
    detail::flat_view<T> values;
    for_each_rows(model, [&](std::size_t i, parameter<Owner>& p, const parameter_rows<Owner>& own) {
      values.add(p.view());
      if (own.value.rows == 0) return;
      const double spread =
          factors.by_spread ? root_mean_square<T>(std::as_const(p).view(), ex) : 1.0;
      update_options u = common;
      u.rate = rate * factors.of(p.kind) * spread;
      if (p.kind == parameter_kind::vector || p.kind == parameter_kind::scales) u.decay = 0;
      if (!counted.empty()) u.counted = counted[i] / static_cast<double>(p.view().size());
      update(own, u, ex);
    });
    detail::share_elements(*ranks_, shard_, values);
  }

  /// Updates done so far.
  [[nodiscard]] std::size_t steps() const { return steps_; }
  void restore_steps(std::size_t n) { steps_ = n; }  ///< Sets steps() to that of a checkpoint.
  /// The rows that each rank owns.
  [[nodiscard]] const row_shard& shard() const { return shard_; }
  /// The moments of this rank's rows of each parameter, in the order of for_each_parameter; none of
  /// one whose factor is 0.
  [[nodiscard]] std::vector<std::vector<moment<Owner>>>& moments() { return moments_; }

 private:
  /// Updates the values and the moments of rows, and zeroes their gradients.
  virtual void update(const parameter_rows<Owner>& rows, const update_options& u,
                      executor_ref ex) = 0;
  /// Whether an update depends on a count over all rows of a parameter, update_options::counted.
  [[nodiscard]] virtual bool counts() const { return false; }
  /// Counts elements of rows. Called for all parameters before the first one is updated.
  [[nodiscard]] virtual double count(const parameter_rows<Owner>& /*rows*/,
                                     const update_options& /*u*/, executor_ref /*ex*/) const {
    return 0;
  }

  /// Calls f(i, parameter, own rows) for each parameter whose factor is not 0; `i` counts all of
  /// the model. There are no rows where this rank owns none, or the parameter has no gradient.
  template <class Model, class F>
  void for_each_rows(Model& model, F&& f) {
    std::size_t index = 0;
    model.for_each_parameter([&](parameter<Owner>& p) {
      const std::size_t i = index++;
      if (shard_.shape(i).rows == 0) return;
      const matrix_view<T> value = p.value, grad = p.grad;
      const row_range own =
          grad.size() == value.size() ? shard_.rows(i, ranks_->rank()) : row_range{};
      f(i, p,
        parameter_rows<Owner>{value.row_block(own.first, own.count),
                              grad.row_block(own.first, own.count), moments_[i]});
    });
  }

  /// The counts of all parameters over the rows of all ranks; empty where none are needed.
  template <class Model>
  std::vector<double> count_all(Model& model, const update_options& u, executor_ref ex) {
    if (!counts()) return {};
    const std::size_t n = moments_.size(), ranks = ranks_->ranks();
    std::vector<double> all(n * ranks), sums(n);
    double* const mine = all.data() + n * ranks_->rank();
    for_each_rows(model, [&](std::size_t i, const auto&, const parameter_rows<Owner>& own) {
      if (own.value.rows > 0) mine[i] = count(own, u, ex);
    });
    ranks_->gather(std::as_writable_bytes(std::span(all)),
                   std::vector<std::size_t>(ranks, n * sizeof(double)));
    for (std::size_t i = 0; i < all.size(); ++i) sums[i % n] += all[i];  // exact: whole numbers
    return sums;
  }

  moment_format format_;
  reducer* ranks_ = &one_rank();
  row_shard shard_;
  std::vector<std::vector<moment<Owner>>> moments_;
  std::size_t steps_ = 0;
};

}  // namespace tern::inline TERN_ABI
