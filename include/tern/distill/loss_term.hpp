// A loss term: one summand of a training objective, with its gradient.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tern/core/tensor.hpp"
#include "tern/grad/tape.hpp"
#include "tern/nn/taps.hpp"

namespace tern::inline TERN_ABI {

/// What all micro-batches of one optimizer step have together.
struct step_means {
  /// loss_term::sizes() of all terms, one after another, as averages over the micro-batches.
  std::vector<double> sizes;
};

/// What the terms of an objective may use of one micro-batch. N is the number of rows with a loss,
/// V the size of the vocabulary. The teacher's parts are null where there is no teacher.
template <class T>
struct loss_inputs {
  variable<T> hidden;                         ///< (N, d), the student's last hidden states
  variable<T> table;                          ///< (V, d), the student's head
  std::span<const std::int32_t> targets;      ///< (N); -100: the row has no target
  std::span<const std::size_t> offsets = {};  ///< where sequences begin in the whole batch
  const taps<T>* student_taps = nullptr;      ///< the student's activations for the whole batch
  const taps<T>* teacher_taps = nullptr;      ///< the teacher's activations for the whole batch
  matrix_view<const T> teacher_logits = {};   ///< (N, V), the teacher's logits
  matrix_view<const T> logits = {};           ///< (N, V), the student's; the objective fills it in
  const step_means* step = nullptr;           ///< the whole step; null: it has no other micro-batch
};

/// One summand of an objective. The gradient of a term flows to the logits in blocks of vocabulary
/// columns, which avoids a gradient of the size of all logits. A term on other activations records
/// its own backward on the tape.
template <class T>
class loss_term {
 public:
  loss_term() = default;
  loss_term(const loss_term&) = delete;
  loss_term& operator=(const loss_term&) = delete;
  virtual ~loss_term() = default;

  /// Key of the term in recipes, logs and states, such as "cross_entropy".
  [[nodiscard]] virtual const char* name() const = 0;
  /// A name of two or three letters for the lines of a console.
  [[nodiscard]] virtual const char* label() const = 0;
  /// Asks for the activations that the term compares.
  virtual void request(taps<T>& /*student*/, taps<T>& /*teacher*/) const {}
  /// Whether the term needs a teacher.
  [[nodiscard]] virtual bool needs_teacher() const { return false; }
  /// Whether the term needs the teacher's logits.
  [[nodiscard]] virtual bool needs_teacher_logits() const { return false; }
  /// Whether the term needs logits of every token rather than of those with a target.
  [[nodiscard]] virtual bool needs_every_token() const { return false; }

  /// Appends the sizes of the sets over which the term takes means, for this micro-batch: numbers
  /// of tokens, say. share() relates them to those of the other micro-batches of the step. A term
  /// that appends nothing is a mean over micro-batches.
  virtual void sizes(const loss_inputs<T>& /*in*/, std::vector<double>& /*sizes*/) const {}
  /// Whether sizes() uses the teacher's activations.
  [[nodiscard]] virtual bool sizes_need_teacher() const { return false; }

  /// The unweighted value, each mean in it multiplied by its share(). What the backward needs is
  /// kept in the arena of the tape; the inputs live until the tape has run backwards.
  virtual double forward(tape<T>& t, const loss_inputs<T>& in) = 0;
  /// Adds factor() times the gradient with respect to the logits of columns [first, first + g.cols)
  /// to g.
  virtual void backward_columns(const loss_inputs<T>& /*in*/, std::size_t /*first*/,
                                matrix_view<T> /*g*/, executor_ref /*ex*/) {}

  /// Weight of the term in the gradient of this micro-batch. It is set after the forward of all
  /// terms, since a balanced weight depends on their values, and the backward reads it.
  [[nodiscard]] double factor() const { return factor_; }
  void set_factor(double factor) { factor_ = factor; }  ///< The objective calls this.

  /// The size of set `i` in sizes() divided by its average over the micro-batches of the step. A
  /// mean that is multiplied by it counts every element of the step alike, as in one batch.
  [[nodiscard]] double share(std::size_t i = 0) const {
    return i < shares_.size() ? shares_[i] : 1;
  }
  /// The objective calls this; without values all shares are 1.
  void set_shares(std::span<const double> shares) { shares_.assign(shares.begin(), shares.end()); }

 private:
  double factor_ = 0;
  std::vector<double> shares_;
};

}  // namespace tern::inline TERN_ABI
