// The loss term of logits distillation.
#pragma once

#include "tern/distill/layer_choice.hpp"
#include "tern/distill/logits.hpp"
#include "tern/distill/loss_term.hpp"

namespace tern::inline TERN_ABI {

/// Which tokens a distillation term averages over.
enum class distilled_tokens {
  all,     ///< every token of the batch, prompts included; the official code does this
  answer,  ///< only tokens that have a target
};

/// L_LD of BitNet Distillation (arXiv 2510.13998, Eq. 9).
struct logits_term_options {
  static constexpr const char* name = "logits";     ///< key in recipes and logs
  static constexpr bool needs_teacher = true;       ///< whether a stage with it needs a teacher
  double weight = 10;                               ///< lambda of Eq. 13
  logits_options form;                              ///< temperature
  distilled_tokens tokens = distilled_tokens::all;  ///< tokens that the term averages over
};

/// The term that logits_term_options describe.
template <class T>
class logits_term final : public loss_term<T> {
 public:
  using options = logits_term_options;  ///< what a recipe can set
  /// Keeps the options; layers do not matter to logits.
  explicit logits_term(const options& o, const layer_counts& = {}) : options_(o) {}

  [[nodiscard]] const char* name() const override { return options::name; }
  [[nodiscard]] const char* label() const override { return "ld"; }
  [[nodiscard]] bool needs_teacher() const override { return options::needs_teacher; }
  [[nodiscard]] bool needs_teacher_logits() const override { return true; }
  [[nodiscard]] bool needs_every_token() const override {
    return options_.tokens == distilled_tokens::all;
  }

  double forward(tape<T>& t, const loss_inputs<T>& in) override {
    const std::size_t n = in.logits.rows;
    lse_student_ = {t.memory().template allocate<T>(n), n};
    lse_teacher_ = {t.memory().template allocate<T>(n), n};
    return logits_loss<T>::forward(in.logits, in.teacher_logits, options_.form, lse_student_,
                                   lse_teacher_, t.executor());
  }
  void backward_columns(const loss_inputs<T>& in, std::size_t first, matrix_view<T> g,
                        executor_ref ex) override {
    logits_loss<T>::backward_columns(in.logits, in.teacher_logits, options_.form, lse_student_,
                                     lse_teacher_, static_cast<T>(this->factor()), first, g, ex);
  }

 private:
  options options_;
  row_view<T> lse_student_, lse_teacher_;
};

}  // namespace tern::inline TERN_ABI
