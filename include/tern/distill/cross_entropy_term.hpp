// The loss term of the task itself: cross-entropy of the next token.
#pragma once

#include <vector>

#include "tern/distill/layer_choice.hpp"
#include "tern/distill/loss_term.hpp"
#include "tern/nn/cross_entropy.hpp"

namespace tern::inline TERN_ABI {

/// L_CE of BitNet Distillation (arXiv 2510.13998, Eq. 13): the mean over rows that have a target.
struct cross_entropy_options {
  static constexpr const char* name = "cross_entropy";  ///< key in recipes and logs
  static constexpr bool needs_teacher = false;          ///< whether a stage with it needs a teacher
  double weight = 1;                                    ///< weight of the term in the objective
};

/// The term that cross_entropy_options describe.
template <class T>
class cross_entropy_term final : public loss_term<T> {
 public:
  using options = cross_entropy_options;  ///< what a recipe can set
  /// Takes nothing from the options: the objective has the weight.
  explicit cross_entropy_term(const options& = {}, const layer_counts& = {}) {}

  [[nodiscard]] const char* name() const override { return options::name; }
  [[nodiscard]] const char* label() const override { return "ce"; }

  void sizes(const loss_inputs<T>& in, std::vector<double>& sizes) const override {
    sizes.push_back(static_cast<double>(cross_entropy<T>::valid_count(in.targets)));
  }
  double forward(tape<T>& t, const loss_inputs<T>& in) override {
    lse_ = {t.memory().template allocate<T>(in.logits.rows), in.logits.rows};
    return this->share() * cross_entropy<T>::forward(in.logits, in.targets, lse_, t.executor());
  }
  void backward_columns(const loss_inputs<T>& in, std::size_t first, matrix_view<T> g,
                        executor_ref ex) override {
    cross_entropy<T>::backward_columns(
        in.logits, in.targets, lse_, static_cast<T>(this->factor() * this->share()), first, g, ex);
  }

 private:
  row_view<T> lse_;
};

}  // namespace tern::inline TERN_ABI
