// The objective of stage 3 (arXiv 2510.13998, Eq. 13): L = CE + lambda * LD + gamma * AD, recorded
// on the student's tape. The gradient with respect to the logits exists one block of vocabulary
// columns at a time.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tern/distill/logits.hpp"
#include "tern/distill/relation.hpp"
#include "tern/grad/tape.hpp"
#include "tern/linalg/gemm.hpp"
#include "tern/nn/cross_entropy.hpp"

namespace tern::inline TERN_ABI {

/// The terms of a loss; `total` is weighted, the others are not.
struct loss_terms {
  double total = 0, ce = 0;  ///< ce: cross-entropy
  double ld = 0, ad = 0;     ///< distillation of logits, of attention relations

  /// Adds `share` times the terms of `o`.
  void add(const loss_terms& o, double share) {
    total += share * o.total;
    ce += share * o.ce;
    ld += share * o.ld;
    ad += share * o.ad;
  }
};

/// A loss on a tape, ready for backward(), and how many tokens went through the model.
struct recorded_loss {
  loss_terms terms;        ///< of the step, or of the micro-batch
  std::size_t tokens = 0;  ///< of its batch
};

/// Which tokens logits distillation averages over.
enum class distilled_tokens {
  all,     ///< every token of the batch, prompts too: the official code
  answer,  ///< only those that have a target
};

/// Weights and forms of the terms.
struct objective_options {
  double lambda = 10.0;  ///< weight of logits distillation
  double gamma = 1e5;    ///< weight of attention-relation distillation
  /// Balance instead: lambda and gamma are then the share of each term relative to CE, held by
  /// dividing by running means (gamma at small scale otherwise makes AD 1e3 times CE).
  bool balance = false;
  logits_options logits;                            ///< of the logits term
  distilled_tokens tokens = distilled_tokens::all;  ///< of the logits term
  relation_options relation;                        ///< of the attention-relation term
  std::array<double, 3> alpha{1.0, 1.0, 1.0};       ///< weights of the Q, K and V relations
};

/// What a teacher computed for the same batch: logits of the same rows, and its Q, K, V (tokens,
/// any width) of the distilled layer. Null views switch a term off.
template <class T>
struct teacher_outputs {
  matrix_view<const T> logits;                ///< (N, V); null: no logits distillation
  std::array<matrix_view<const T>, 3> qkv{};  ///< (tokens, width) each; null: no relations
};

template <class T>
class objective {
 public:
  /// Starts without running means.
  explicit objective(const objective_options& options = {}) : options_(options) {}

  /// Running means behind `balance`, for checkpoints: CE, LD, AD and how many steps they saw.
  using running_means = std::array<double, 4>;
  [[nodiscard]] const objective_options& options() const { return options_; }  ///< as given
  [[nodiscard]] const running_means& means() const { return means_; }          ///< for a checkpoint
  void restore(const running_means& m) { means_ = m; }  ///< from a checkpoint

  /// Cross-entropy of `hidden` (N, d) through `table` (V, d) against `targets` (N; -100 = ignore),
  /// plus the distillation terms the teacher has outputs for. `qkv`: the student's taps over the
  /// whole batch whose sequences `offsets` delimits. This object, the targets and the teacher's
  /// outputs must outlive the step.
  loss_terms record(tape<T>& t, variable<T> hidden, variable<T> table,
                    std::span<const std::int32_t> targets, const teacher_outputs<T>& teacher = {},
                    const std::array<variable<T>, 3>& qkv = {},
                    std::span<const std::size_t> offsets = {}) {
    loss_terms terms;
    if (teacher.qkv[0]) terms.ad = record_relations(t, teacher, qkv, offsets);
    record_head(t, hidden, table, targets, teacher.logits, terms);
    set_weights(terms);
    terms.total = terms.ce + weight_ld_ * terms.ld + weight_ad_ * terms.ad;
    return terms;
  }

 private:
  static constexpr std::size_t vocabulary_block = 4096;

  void record_head(tape<T>& t, variable<T> h, variable<T> table,
                   std::span<const std::int32_t> targets, matrix_view<const T> teacher_logits,
                   loss_terms& terms) {
    const executor_ref ex = t.executor();
    const std::size_t n = h.rows(), v = table.rows();
    const auto row = [&] { return row_view<T>(t.memory().template allocate<T>(n), n); };
    const matrix_view<T> logits = t.memory().template matrix<T>(n, v);
    gemm<T>(T(1), h.value, table.value.transposed(), logits, false, ex);
    const row_view<T> lse = row(), lse_student = row(), lse_teacher = row();
    terms.ce = cross_entropy<T>::forward(logits, targets, lse, ex);
    if (teacher_logits)
      terms.ld = logits_loss<T>::forward(logits, teacher_logits, options_.logits, lse_student,
                                         lse_teacher, ex);
    t.record([=, this, &t] {
      for (std::size_t c = 0; c < v; c += vocabulary_block) {
        const arena_scope temporaries(t.memory());
        const std::size_t width = std::min(vocabulary_block, v - c);
        const matrix_view<T> g = t.zeros(n, width);
        cross_entropy<T>::backward_columns(logits, targets, lse, T(1), c, g, ex);
        if (teacher_logits)
          logits_loss<T>::backward_columns(logits, teacher_logits, options_.logits, lse_student,
                                           lse_teacher, static_cast<T>(weight_ld_), c, g, ex);
        gemm<T>(T(1), g, table.value.row_block(c, width), h.grad, true, ex);
        if (table.grad)
          gemm<T>(T(1), g.transposed(), h.value, table.grad.row_block(c, width), true, ex);
      }
    });
  }

  double record_relations(tape<T>& t, const teacher_outputs<T>& teacher,
                          const std::array<variable<T>, 3>& qkv,
                          std::span<const std::size_t> offsets) {
    double sum = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      if (options_.alpha[j] == 0) continue;
      const variable<T> student = qkv[j];
      const matrix_view<const T> target = teacher.qkv[j];
      const double alpha = options_.alpha[j];
      const matrix_view<T> saved = t.memory().template matrix<T>(
          student.rows(), relation_loss<T>::stats_columns(options_.relation));
      sum += alpha * relation_loss<T>::forward(student.value, target, offsets, {},
                                               options_.relation, saved, t.memory(), t.executor());
      t.record([=, this, &t] {
        relation_loss<T>::backward(student.value, target, offsets, {}, options_.relation, saved,
                                   static_cast<T>(alpha * weight_ad_), student.grad, t.memory(),
                                   t.executor());
      });
    }
    return sum;
  }

  void set_weights(const loss_terms& terms) {
    weight_ld_ = options_.lambda;
    weight_ad_ = options_.gamma;
    if (!options_.balance) return;
    const double rate = 1.0 / std::min(++means_[3], 50.0);
    means_[0] += rate * (terms.ce - means_[0]);
    means_[1] += rate * (terms.ld - means_[1]);
    means_[2] += rate * (terms.ad - means_[2]);
    weight_ld_ *= means_[1] > 0 ? means_[0] / means_[1] : 0.0;
    weight_ad_ *= means_[2] > 0 ? means_[0] / means_[2] : 0.0;
  }

  objective_options options_;
  running_means means_{};
  double weight_ld_ = 0, weight_ad_ = 0;
};

}  // namespace tern::inline TERN_ABI
