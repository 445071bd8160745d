// A training objective: the weighted sum of loss terms, recorded on the student's tape. With
// cross-entropy, logits and relations it is the objective of BitNet Distillation (arXiv 2510.13998,
// Eq. 13), L = L_CE + lambda L_LD + gamma L_AD.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/distill/cross_entropy_term.hpp"
#include "tern/distill/loss_term.hpp"
#include "tern/grad/tape.hpp"
#include "tern/linalg/gemm.hpp"

namespace tern::inline TERN_ABI {

/// The largest number of terms that an objective can have.
inline constexpr std::size_t max_loss_terms = 8;

/// The value of one term, unweighted.
struct loss_value {
  const char* name = "";   ///< loss_term::name()
  const char* label = "";  ///< loss_term::label()
  double value = 0;        ///< unweighted
};

/// The values of an objective.
struct loss_values {
  double total = 0;                                ///< weighted sum
  std::array<loss_value, max_loss_terms> terms{};  ///< the first `count` of them
  std::size_t count = 0;                           ///< number of terms of the objective

  /// The values of all terms.
  [[nodiscard]] std::span<const loss_value> list() const { return {terms.data(), count}; }
  /// The value of a term; 0 where the objective has no such term.
  [[nodiscard]] double of(std::string_view name) const {
    for (const loss_value& t : list())
      if (name == t.name) return t.value;
    return 0;
  }
  /// Adds `share` times the values of the same objective.
  void add(const loss_values& o, double share) {
    total += share * o.total;
    count = o.count;
    for (std::size_t i = 0; i < count; ++i)
      terms[i] = {o.terms[i].name, o.terms[i].label, terms[i].value + share * o.terms[i].value};
  }
};

/// A loss on a tape, ready for backward(), and how many tokens went through the model.
struct recorded_loss {
  loss_values loss;        ///< values for the micro-batch
  std::size_t tokens = 0;  ///< number of tokens of the micro-batch
};

/// A weighted sum of loss terms.
template <class T>
class objective {
 public:
  /// A term and its weight.
  struct weighted_term {
    std::unique_ptr<loss_term<T>> term;  ///< the summand
    double weight = 1;                   ///< factor of the summand
  };

  /// Cross-entropy alone.
  objective() {
    terms_.push_back({std::make_unique<cross_entropy_term<T>>(cross_entropy_options{}), 1});
    means_.assign(2, 0);
  }

  /// `balance`: the weight of each term but the first is its share relative to the first one.
  /// Running means of the values hold these shares, since at small scale the gamma of the paper
  /// makes L_AD 1e3 times as large as L_CE. Throws config_error where there is no term or there are
  /// more than max_loss_terms.
  explicit objective(std::vector<weighted_term> terms, bool balance = false)
      : terms_(std::move(terms)), balance_(balance), means_(terms_.size() + 1) {
    if (terms_.empty() || terms_.size() > max_loss_terms)
      throw config_error("objective: expected 1 to " + std::to_string(max_loss_terms) +
                         " loss terms, got " + std::to_string(terms_.size()));
  }

  /// The terms, in the order in which they are added.
  [[nodiscard]] const std::vector<weighted_term>& terms() const { return terms_; }
  /// The running means that `balance` uses, which a checkpoint stores: one for each term, then the
  /// number of micro-batches that they have seen.
  [[nodiscard]] const std::vector<double>& means() const { return means_; }
  /// Restores the running means. Throws format_error where their number is not that of this
  /// objective.
  void restore(std::vector<double> means) {
    if (means.size() != means_.size())
      throw format_error("expected " + std::to_string(means_.size()) + " running means, got " +
                         std::to_string(means.size()));
    means_ = std::move(means);
  }

  /// Whether the weights of terms depend on running means of the values.
  [[nodiscard]] bool balanced() const { return balance_; }
  /// Whether the sizes of a term use the teacher's activations.
  [[nodiscard]] bool sizes_need_teacher() const {
    return std::ranges::any_of(terms_, [](const auto& w) { return w.term->sizes_need_teacher(); });
  }
  /// Puts loss_term::sizes() of all terms into `all`, one after another.
  void sizes(const loss_inputs<T>& in, std::vector<double>& all) const {
    all.clear();
    for (const weighted_term& w : terms_) w.term->sizes(in, all);
  }

  /// The values of a micro-batch, which are neither recorded nor seen by the running means.
  loss_values measure(tape<T>& t, loss_inputs<T> in) {
    loss_values values = forward(t, in);
    set_factors(values);
    return values;
  }
  /// Shows the running means a loss. A step of several micro-batches shows them the loss of the
  /// whole step, before record() gets its micro-batches. Undone where the step is refused.
  void observe(tape<T>& t, const loss_values& values) {
    if (!balance_) return;
    std::array<double, max_loss_terms + 1> before{};
    std::ranges::copy(means_, before.begin());
    t.on_refusal([this, before] { std::copy_n(before.begin(), means_.size(), means_.begin()); });
    const double rate = 1.0 / std::min(++means_.back(), 50.0);
    for (std::size_t i = 0; i < terms_.size(); ++i)
      means_[i] += rate * (values.terms[i].value - means_[i]);
  }

  /// Records the loss of a micro-batch. This object and what the inputs refer to must outlive the
  /// step. Where `in.step` is given, the gradients of all micro-batches of the step have the mean
  /// that is the gradient of one batch with all of their tokens.
  loss_values record(tape<T>& t, loss_inputs<T> in) {
    loss_values values = forward(t, in);
    if (in.step == nullptr) observe(t, values);
    set_factors(values);
    t.record([=, this, &t] { backward_head(t, in); });
    return values;
  }

  /// Records the loss of `hidden` (N, d) through `table` (V, d) against `targets` (N values, where
  /// -100 means no target). The terms must not need a teacher.
  loss_values record(tape<T>& t, variable<T> hidden, variable<T> table,
                     std::span<const std::int32_t> targets) {
    return record(t, loss_inputs<T>{.hidden = hidden, .table = table, .targets = targets});
  }

 private:
  static constexpr std::size_t vocabulary_block = 4096;

  /// Computes the logits, which `in` gets, and the values of all terms.
  loss_values forward(tape<T>& t, loss_inputs<T>& in) {
    set_shares(in);
    const matrix_view<T> logits = t.memory().template matrix<T>(in.hidden.rows(), in.table.rows());
    gemm<T>(T(1), in.hidden.value, in.table.value.transposed(), logits, false, t.executor(),
            t.products());
    in.logits = logits;
    loss_values values;
    values.count = terms_.size();
    for (std::size_t i = 0; i < terms_.size(); ++i) {
      loss_term<T>& term = *terms_[i].term;
      values.terms[i] = {term.name(), term.label(), term.forward(t, in)};
    }
    return values;
  }

  /// Gives every term the shares of this micro-batch in its step.
  void set_shares(const loss_inputs<T>& in) {
    std::size_t first = 0;
    for (const weighted_term& w : terms_) {
      shares_.clear();
      if (in.step != nullptr) w.term->sizes(in, shares_);
      for (double& s : shares_) {
        const double average = in.step->sizes.at(first++);
        s = s == 0 ? 1 : s / average;  // there is nothing to scale in an empty set
      }
      w.term->set_shares(shares_);
    }
  }

  void backward_head(tape<T>& t, const loss_inputs<T>& in) {
    const executor_ref ex = t.executor();
    const precision p = t.products();
    const auto [n, v] = std::pair(in.logits.rows, in.logits.cols);
    for (std::size_t c = 0; c < v; c += vocabulary_block) {
      const arena_scope temporaries(t.memory());
      const std::size_t width = std::min(vocabulary_block, v - c);
      const matrix_view<T> g = t.zeros(n, width);
      for (const weighted_term& w : terms_) w.term->backward_columns(in, c, g, ex);
      gemm<T>(T(1), g, in.table.value.row_block(c, width), in.hidden.grad, true, ex, p);
      if (in.table.grad)
        gemm<T>(T(1), g.transposed(), in.hidden.value, in.table.grad.row_block(c, width), true, ex,
                p);
    }
  }

  /// Gives every term its weight for this micro-batch and computes the total.
  void set_factors(loss_values& values) {
    values.total = 0;
    for (std::size_t i = 0; i < terms_.size(); ++i) {
      double factor = terms_[i].weight;
      if (balance_ && i > 0) factor *= means_[i] > 0 ? means_[0] / means_[i] : 0.0;
      terms_[i].term->set_factor(factor);
      values.total += factor * values.terms[i].value;
    }
  }

  std::vector<weighted_term> terms_;
  bool balance_ = false;
  std::vector<double> means_, shares_;
};

}  // namespace tern::inline TERN_ABI
