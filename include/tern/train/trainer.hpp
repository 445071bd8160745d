// The mechanics of a training stage: micro-batches, clipping, an optimizer on a schedule, reports.
// The caller says what a micro-batch holds and which loss it has. Both depend on the step number
// alone, so a stage that is continued from a checkpoint sees the same data as one that was not
// interrupted.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tern/core/is_finite.hpp"
#include "tern/core/reducer.hpp"
#include "tern/core/stopwatch.hpp"
#include "tern/core/together.hpp"
#include "tern/distill/objective.hpp"
#include "tern/grad/tape.hpp"
#include "tern/linalg/precision.hpp"
#include "tern/train/adamw.hpp"
#include "tern/train/gradient_norm.hpp"
#include "tern/train/gradient_sum.hpp"
#include "tern/train/optimizer.hpp"
#include "tern/train/schedule.hpp"
#include "tern/train/step_deal.hpp"
#include "tern/train/ternary_health.hpp"

namespace tern::inline TERN_ABI {

/// The options that all steps of a stage share.
struct trainer_options {
  double learning_rate = 1e-3;  ///< peak learning rate
  schedule plan;                ///< number of optimizer steps, and rates by step
  rate_factors rates;           ///< factors on the learning rate by kind of parameter
  std::size_t accumulate = 1;   ///< micro-batches per optimizer step
  /// Parts of a step, a divisor of `accumulate`: the gradients of each part are computed for
  /// themselves and added up in a tree, so that ranks can share the parts.
  std::size_t parts = 1;
  gradient_format gradients = gradient_format::real;  ///< how these are added up and sent
  double clip = 1.0;           ///< largest global gradient norm; 0: no clipping
  std::size_t log_every = 20;  ///< steps between two reports that are logged
  /// Precision of the products of floats. Weights, sums, norms, softmax and the optimizer keep the
  /// type of the model's elements.
  precision products = precision::exact;

  /// Throws config_error where an option is out of range.
  void validate() const {
    if (!(learning_rate > 0) || !is_finite(learning_rate))
      throw config_error("trainer: learning_rate must be positive and finite");
    if (plan.steps == 0) throw config_error("trainer: steps must be positive");
    if (plan.warmup_steps > plan.steps)
      throw config_error("trainer: warmup_steps (" + std::to_string(plan.warmup_steps) +
                         ") exceed steps (" + std::to_string(plan.steps) + ")");
    if (accumulate == 0) throw config_error("trainer: accumulate must be positive");
    if (parts == 0 || accumulate % parts != 0)
      throw config_error("trainer: parts must be a divisor of accumulate (" +
                         std::to_string(accumulate) + "), got " + std::to_string(parts));
    require_in_range(plan.min_ratio, unbounded, "trainer: min_ratio");
    require_in_range(plan.second_stage_ratio, unbounded, "trainer: second_stage_ratio");
    if (!(clip >= 0)) throw config_error("trainer: clip must not be negative");
    rates.validate();
    if (log_every == 0) throw config_error("trainer: log_every must be positive");
  }
};

/// What one optimizer step did.
struct step_report {
  std::size_t step = 0;      ///< number of the step, counted from 1
  std::size_t steps = 0;     ///< number of all steps of the stage
  loss_values loss;          ///< mean over the micro-batches
  double gradient_norm = 0;  ///< norm before clipping
  double learning_rate = 0;  ///< rate of the step
  double seconds = 0;        ///< wall clock, without measuring `health`
  std::size_t tokens = 0;    ///< number of tokens that went through the model
  bool logged = false;    ///< whether this is a multiple of log_every, the first or the last step
  ternary_health health;  ///< measured where the step is logged and the model is ternary
  std::size_t sent = 0;   ///< bytes that this rank sent to others
};

/// Trains a model step by step. The ranks of a reducer have the same model, options and optimizer,
/// and share the parts of every step. Each of them updates the rows that it owns (optimizer::shard)
/// and gets the others, so that all end the step with the same weights, bit for bit.
template <class Model>
class trainer {
 public:
  using T = typename Model::scalar;     ///< type of an element
  using owner = typename Model::owner;  ///< type of the model's matrices

  /// Gives the parameters gradients and moments, but for those whose rate is 0. The destructor
  /// takes the gradients away. The optimizer is AdamW with its default options. An option that is
  /// out of range throws config_error.
  trainer(Model& model, const trainer_options& options, executor_ref ex = {})
      : trainer(model, options, std::make_unique<adamw<owner>>(), ex) {}

  /// The same with an optimizer of the caller's choice, and with ranks that share the steps. The
  /// reducer must outlive this object.
  trainer(Model& model, const trainer_options& options,
          std::unique_ptr<tern::optimizer<owner>> rule, executor_ref ex = {},
          reducer& ranks = one_rank())
      : model_(model),
        options_((options.validate(), options)),
        optimizer_(std::move(rule)),
        ranks_(ranks),
        tape_(ex, true, options.products) {
    optimizer_->attach(model_, options_.rates, ranks_);
    model_.train(true);
    model_.for_each_parameter([&](auto& p) {
      if (options_.rates.of(p.kind) == 0) p.grad = tensor_traits<owner>::make(0, 0);
    });
    sum_.emplace(model_, ex, options_.gradients);
    initial_scale_ = measure_scale(model_);  // NOLINT: after train()
  }
  trainer(const trainer&) = delete;
  trainer& operator=(const trainer&) = delete;
  ~trainer() { model_.train(false); }

  [[nodiscard]] std::size_t step() const { return optimizer_->steps(); }  ///< optimizer steps done
  /// Whether all steps of the plan are done.
  [[nodiscard]] bool done() const { return step() >= options_.plan.steps; }
  [[nodiscard]] const trainer_options& options() const { return options_; }  ///< the options
  [[nodiscard]] Model& model() { return model_; }                            ///< the model
  /// The optimizer, whose moments a checkpoint stores.
  [[nodiscard]] tern::optimizer<owner>& optimizer() { return *optimizer_; }
  [[nodiscard]] reducer& ranks() { return ranks_; }  ///< the ranks that share the steps
  [[nodiscard]] tape<T>& graph() { return tape_; }   ///< tape of the last micro-batch
  /// Mean weight scale when the stage began. Scale drift is measured against it.
  [[nodiscard]] double initial_scale() const { return initial_scale_; }
  /// Sets initial_scale() to that of a checkpoint.
  void restore_initial_scale(double s) { initial_scale_ = s; }

  /// Does one optimizer step. `record(tape, micro)` builds micro-batch number `micro` (counted from
  /// the start of the stage), records its loss on the tape and returns a recorded_loss. Where
  /// `record` has it, `record.begin_step(tape, deal, ranks)` is called before, on every rank.
  /// Throws numeric_error if the loss or the gradient is not finite, and rank_error where another
  /// rank threw. Then, and where `record` throws, the step leaves no trace: weights, moments and
  /// running means are as before, and gradients are zero, so that the next call does what it would
  /// have done without the refused one.
  template <class Record>
  step_report advance(Record&& record) {
    const stopwatch watch;
    const std::size_t sent_before = ranks_.sent();
    step_report report{step() + 1, options_.plan.steps, {}, 0, 0, 0, 0, false, {}, 0};
    const double share = 1.0 / static_cast<double>(options_.accumulate);
    const step_deal deal{options_.accumulate, options_.parts, ranks_.ranks(), ranks_.rank()};
    tape_.begin_step({step() * options_.accumulate, options_.accumulate});
    try {
      if constexpr (requires { record.begin_step(tape_, deal, ranks_); })
        record.begin_step(tape_, deal, ranks_);
      together(ranks_, [&] { compute(record, deal, report.step); });
      share_losses();
      for (const recorded_loss& each : losses_) {
        report.loss.add(each.loss, share);
        report.tokens += each.tokens;
      }
      sum_->finish(ranks_, optimizer_->shard());
      report.gradient_norm =
          gradient_norm(model_, optimizer_->shard(), ranks_, tape_.executor()) * share;
      require_finite_gradient(report);
    } catch (...) {
      tape_.refuse_step();
      zero_gradients();
      throw;
    }
    tape_.accept_step();
    report.learning_rate = options_.learning_rate * options_.plan.rate(step());
    report.logged = report.step == 1 || report.step % options_.log_every == 0 ||
                    report.step == options_.plan.steps;
    report.seconds = watch.seconds();
    apply(report, share * clip_factor(report.gradient_norm));
    report.sent = ranks_.sent() - sent_before;
    return report;
  }

 private:
  static void require_finite(double x, const char* what, std::size_t step) {
    if (!is_finite(x))
      throw numeric_error(std::string(what) + " is not finite at step " + std::to_string(step) +
                          "; lower the learning rate or check the data");
  }

  /// The norm is the same on every rank, so all of them throw.
  void require_finite_gradient(const step_report& report) const {
    try {
      require_finite(report.gradient_norm, "gradient norm", report.step);
    } catch (const numeric_error& e) {
      if (ranks_.ranks() > 1) throw rank_error(e.what());
      throw;
    }
  }

  /// Computes the losses and the gradients of this rank's parts.
  template <class Record>
  void compute(Record& record, const step_deal& deal, std::size_t step) {
    losses_.clear();
    sum_->begin(deal);
    for (std::size_t i = deal.begin(); i < deal.end(); ++i) {
      tape_.reset();
      losses_.push_back(record(tape_, tape_.step().first + i));
      require_finite(losses_.back().loss.total, "loss", step);
      tape_.backward();
      if ((i + 1) % deal.part_size() == 0) sum_->part_done();
    }
  }

  /// Makes `losses_` those of all micro-batches of the step. Only rank 0 knows the names of terms
  /// where a rank has no micro-batch of its own.
  void share_losses() {
    if (ranks_.ranks() == 1) return;
    static_assert(std::is_trivially_copyable_v<recorded_loss>);
    const recorded_loss named = losses_.empty() ? recorded_loss{} : losses_.front();
    const auto all = gather_all<recorded_loss>(ranks_, losses_);
    losses_.clear();
    for (const auto& list : all)
      for (recorded_loss each : list) {
        for (std::size_t i = 0; i < each.loss.count; ++i) {  // addresses of another process
          each.loss.terms[i].name = named.loss.terms[i].name;
          each.loss.terms[i].label = named.loss.terms[i].label;
        }
        losses_.push_back(each);
      }
  }

  void zero_gradients() {
    model_.for_each_parameter([](auto& p) {
      const matrix_view<T> g = p.grad;
      for (std::size_t r = 0; r < g.rows; ++r)
        for (std::size_t c = 0; c < g.cols; ++c) g(r, c) = T(0);
    });
  }

  [[nodiscard]] double clip_factor(double norm) const {
    return options_.clip > 0 && norm > options_.clip ? options_.clip / norm : 1.0;
  }

  void apply(step_report& report, double gradient_scale) {
    const double decay = options_.plan.decay(step());
    const auto update = [&] {
      const stopwatch watch;
      optimizer_->step(model_, report.learning_rate, decay, gradient_scale, tape_.executor(),
                       options_.rates);
      report.seconds += watch.seconds();
    };
    if (report.logged && model_.config().ternary)
      report.health = measure_health(model_, initial_scale_, update);
    else
      update();
  }

  Model& model_;
  trainer_options options_;
  std::unique_ptr<tern::optimizer<owner>> optimizer_;
  reducer& ranks_;
  tape<T> tape_;
  std::optional<gradient_sum<T>> sum_;  // made when the gradients are there
  std::vector<recorded_loss> losses_;
  double initial_scale_ = 0;
};

}  // namespace tern::inline TERN_ABI
