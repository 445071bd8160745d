// The loss term that compares hidden states with the teacher's.
#pragma once

#include <cstddef>
#include <string>

#include "tern/core/error.hpp"
#include "tern/core/simd.hpp"
#include "tern/distill/layer_choice.hpp"
#include "tern/distill/loss_term.hpp"

namespace tern::inline TERN_ABI {

/// Mean squared difference of a layer's output, relative to the teacher's mean square: 0 for equal
/// states, about 1 for states of zero. Student and teacher must have the same hidden size.
struct hidden_state_term_options {
  static constexpr const char* name = "hidden_states";  ///< key in recipes and logs
  static constexpr bool needs_teacher = true;           ///< whether a stage with it needs a teacher
  double weight = 1;                                    ///< weight of the term in the objective
  layer_choice layers;                                  ///< layers whose outputs are compared
};

/// The term that hidden_state_term_options describe.
template <class T>
class hidden_state_term final : public loss_term<T> {
 public:
  using options = hidden_state_term_options;  ///< what a recipe can set
  /// Throws config_error where a model has no such layer.
  hidden_state_term(const options& o, const layer_counts& counts)
      : options_(o), layers_(resolve_layers(o.layers, counts, options::name)) {}

  [[nodiscard]] const char* name() const override { return options::name; }
  [[nodiscard]] const char* label() const override { return "hs"; }
  [[nodiscard]] bool needs_teacher() const override { return options::needs_teacher; }
  void request(taps<T>& student, taps<T>& teacher) const override {
    student.request({layers_.student, tap_point::hidden});
    teacher.request({layers_.teacher, tap_point::hidden});
  }

  double forward(tape<T>& t, const loss_inputs<T>& in) override {
    const variable<T> h = in.student_taps->at({layers_.student, tap_point::hidden});
    const matrix_view<const T> target =
        in.teacher_taps->at({layers_.teacher, tap_point::hidden}).value;
    require_shape(h.value, target.rows, target.cols, "hidden_states: the student's states");
    double difference = 0, square = 0;
    for (std::size_t r = 0; r < target.rows; ++r)
      for (std::size_t c = 0; c < target.cols; ++c) {
        const double want = static_cast<double>(target(r, c));
        const double off = static_cast<double>(h.value(r, c)) - want;
        difference += off * off;
        square += want * want;
      }
    if (square == 0) throw numeric_error("hidden_states: the teacher's states are all zero");
    t.record([=, this, ex = t.executor()] {
      const T scale = static_cast<T>(this->factor() * 2 / square);
      for_each_row(target.rows, target.cols, ex, [&](std::size_t r) {
        simd::axpy<T>(scale, row_view<const T>(h.value.row(r)), h.grad.row(r));
        simd::axpy<T>(-scale, target.row(r), h.grad.row(r));
      });
    });
    return difference / square;
  }

 private:
  options options_;
  layer_pair layers_;
};

}  // namespace tern::inline TERN_ABI
