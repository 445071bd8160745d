// The loss term of logits distillation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

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
  static constexpr const char* label = "ld";        ///< short name in the progress line
  static constexpr bool needs_teacher = true;       ///< whether a stage with it needs a teacher
  double weight = 10;                               ///< lambda of Eq. 13
  logits_options form;                              ///< temperature
  distilled_tokens tokens = distilled_tokens::all;  ///< tokens that the term averages over
  /// With `answer`: weight of the mean over all other tokens, which is added to that over answers.
  double prompt_weight = 0;
};

/// The same with the divergence from the student to the teacher.
struct reverse_logits_term_options : logits_term_options {
  static constexpr const char* name = "reverse_logits";  ///< key in recipes and logs
  static constexpr const char* label = "rd";             ///< short name in the progress line
  reverse_logits_term_options() { form.reverse = true; }
};

/// The term that the options describe.
template <class T, class Options = logits_term_options>
class logits_term final : public loss_term<T> {
 public:
  using options = Options;  ///< what a recipe can set
  /// Keeps the options; layers do not matter to logits.
  explicit logits_term(const options& o, const layer_counts& = {}) : options_(o) {}

  [[nodiscard]] const char* name() const override { return options::name; }
  [[nodiscard]] const char* label() const override { return options::label; }
  [[nodiscard]] bool needs_teacher() const override { return options::needs_teacher; }
  [[nodiscard]] bool needs_teacher_logits() const override { return true; }
  [[nodiscard]] bool needs_every_token() const override {
    return options_.tokens == distilled_tokens::all || options_.prompt_weight > 0;
  }

  void sizes(const loss_inputs<T>& in, std::vector<double>& sizes) const override {
    const std::size_t answers = cross_entropy<T>::valid_count(in.targets), all = in.targets.size();
    const bool every = options_.tokens == distilled_tokens::all;
    sizes.push_back(static_cast<double>(every ? all : answers));
    if (!every) sizes.push_back(static_cast<double>(all - answers));
  }
  double forward(tape<T>& t, const loss_inputs<T>& in) override {
    const std::size_t n = in.logits.rows;
    lse_student_ = {t.memory().template allocate<T>(n), n};
    lse_teacher_ = {t.memory().template allocate<T>(n), n};
    weights_ = options_.tokens == distilled_tokens::all ? row_view<T>{} : weights_of(t, in.targets);
    return scale() * logits_loss<T>::forward(in.logits, in.teacher_logits, options_.form,
                                             lse_student_, lse_teacher_, t.executor(), weights_);
  }
  void backward_columns(const loss_inputs<T>& in, std::size_t first, matrix_view<T> g,
                        executor_ref ex) override {
    logits_loss<T>::backward_columns(in.logits, in.teacher_logits, options_.form, lse_student_,
                                     lse_teacher_, static_cast<T>(this->factor() * scale()), first,
                                     g, ex, weights_);
  }

 private:
  /// The share of the mean over rows; weights of rows have it in themselves.
  [[nodiscard]] double scale() const { return weights_ ? 1 : this->share(); }

  /// The weights of rows where there are tokens of answers and others; null where all are of
  /// answers.
  row_view<T> weights_of(tape<T>& t, std::span<const std::int32_t> targets) const {
    const std::size_t answers = cross_entropy<T>::valid_count(targets);
    const std::size_t others = targets.size() - answers;
    if (others == 0) return {};
    const row_view<T> weights(t.memory().template allocate<T>(targets.size()), targets.size());
    const double of_answers = this->share(0) / static_cast<double>(answers),
                 of_others = this->share(1) * options_.prompt_weight / static_cast<double>(others);
    for (std::size_t i = 0; i < targets.size(); ++i)
      weights[i] = static_cast<T>(targets[i] != -100 ? of_answers : of_others);
    return weights;
  }

  options options_;
  row_view<T> lse_student_, lse_teacher_, weights_;
};

}  // namespace tern::inline TERN_ABI
