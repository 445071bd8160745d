// The loss term of attention-relation distillation.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "tern/distill/layer_choice.hpp"
#include "tern/distill/loss_term.hpp"
#include "tern/distill/relation.hpp"

namespace tern::inline TERN_ABI {

/// L_AD of BitNet Distillation (arXiv 2510.13998, Eq. 10 to 12): relations among the tokens' Q, K
/// and V of one layer, against those of one layer of the teacher.
struct relation_term_options {
  static constexpr const char* name = "relations";  ///< key in recipes and logs
  static constexpr bool needs_teacher = true;       ///< whether a stage with it needs a teacher
  double weight = 1e5;                              ///< gamma of Eq. 13
  relation_options form;                            ///< heads, temperature, mask, normaliser
  std::array<double, 3> alpha{1, 1, 1};             ///< weights of the relations of Q, K and V
  layer_choice layers;                              ///< layers whose activations are compared
  /// Compare the layer that `layers` names and every n-th one before it, with the mean of their
  /// values; 0: that layer alone, as in the paper.
  std::size_t every = 0;
};

/// The term that relation_term_options describe.
template <class T>
class relation_term final : public loss_term<T> {
 public:
  using options = relation_term_options;  ///< what a recipe can set
  /// Throws config_error where a model has no such layer.
  relation_term(const options& o, const layer_counts& counts)
      : options_(o), layers_(resolve_layers(o.layers, o.every, counts, options::name)) {}

  [[nodiscard]] const char* name() const override { return options::name; }
  [[nodiscard]] const char* label() const override { return "ad"; }
  [[nodiscard]] bool needs_teacher() const override { return options::needs_teacher; }
  void request(taps<T>& student, taps<T>& teacher) const override {
    for (const layer_pair& l : layers_)
      for (const tap_point p : points) {
        student.request({l.student, p});
        teacher.request({l.teacher, p});
      }
  }

  void sizes(const loss_inputs<T>& in, std::vector<double>& sizes) const override {
    sizes.push_back(in.offsets.empty() ? 0.0 : static_cast<double>(in.offsets.back()));
  }
  double forward(tape<T>& t, const loss_inputs<T>& in) override {
    double sum = 0;
    for (const layer_pair& l : layers_)
      for (std::size_t j = 0; j < points.size(); ++j)
        if (options_.alpha[j] != 0) sum += compare(t, in, l, j);
    return sum * this->share() / static_cast<double>(layers_.size());
  }

 private:
  /// Records the backward of the relations of Q, K or V in one pair of layers, and returns their
  /// value times alpha.
  double compare(tape<T>& t, const loss_inputs<T>& in, const layer_pair& l, std::size_t j) {
    const double alpha = options_.alpha[j];
    const variable<T> student = in.student_taps->at({l.student, points[j]});
    const matrix_view<const T> teacher = in.teacher_taps->at({l.teacher, points[j]}).value;
    const auto offsets = in.offsets;
    const matrix_view<T> saved = t.memory().template matrix<T>(
        student.rows(), relation_loss<T>::stats_columns(options_.form));
    const double value = relation_loss<T>::forward(student.value, teacher, offsets, {},
                                                   options_.form, saved, t.memory(), t.executor());
    t.record([=, this, &t] {
      const double share = this->share() / static_cast<double>(layers_.size());
      relation_loss<T>::backward(student.value, teacher, offsets, {}, options_.form, saved,
                                 static_cast<T>(alpha * this->factor() * share), student.grad,
                                 t.memory(), t.executor());
    });
    return alpha * value;
  }

  static constexpr std::array points{tap_point::q, tap_point::k, tap_point::v};
  options options_;
  std::vector<layer_pair> layers_;
};

}  // namespace tern::inline TERN_ABI
