// The loss term that compares hidden states with the teacher's.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/simd.hpp"
#include "tern/distill/layer_choice.hpp"
#include "tern/distill/loss_term.hpp"

namespace tern::inline TERN_ABI {

/// Mean squared difference of layers' outputs, relative to the teacher's mean square: 0 for equal
/// states, about 1 for states of zero. Student and teacher must have the same hidden size.
struct hidden_state_term_options {
  static constexpr const char* name = "hidden_states";  ///< key in recipes and logs
  static constexpr bool needs_teacher = true;           ///< whether a stage with it needs a teacher
  double weight = 1;                                    ///< weight of the term in the objective
  layer_choice layers{};                                ///< layers whose outputs are compared
  /// Compare the layer that `layers` names and every n-th one before it, with the mean of their
  /// values; 0: that layer alone.
  std::size_t every = 0;
  /// Leave out so many tokens at the beginning of each sequence. The first one is often an
  /// attention sink, whose huge state would outweigh all others.
  std::size_t skip_first = 0;
  /// Take each token relative to its own mean square, and then the mean over tokens, rather than
  /// both sums over all tokens.
  bool per_token = false;
};

/// The term that hidden_state_term_options describe.
template <class T>
class hidden_state_term final : public loss_term<T> {
 public:
  using options = hidden_state_term_options;  ///< what a recipe can set
  /// Throws config_error where a model has no such layer.
  hidden_state_term(const options& o, const layer_counts& counts)
      : options_(o), layers_(resolve_layers(o.layers, o.every, counts, options::name)) {}

  [[nodiscard]] const char* name() const override { return options::name; }
  [[nodiscard]] const char* label() const override { return "hs"; }
  [[nodiscard]] bool needs_teacher() const override { return options::needs_teacher; }
  void request(taps<T>& student, taps<T>& teacher) const override {
    for (const layer_pair& l : layers_) {
      student.request({l.student, tap_point::hidden});
      teacher.request({l.teacher, tap_point::hidden});
    }
  }

  void sizes(const loss_inputs<T>& in, std::vector<double>& sizes) const override {
    for (const layer_pair& l : layers_) {
      const matrix_view<const T> target = in.teacher_taps->at({l.teacher, tap_point::hidden}).value;
      double sum = 0, used = 0;
      for (std::size_t s = 0; s + 1 < in.offsets.size(); ++s)
        for (std::size_t r = in.offsets[s] + options_.skip_first; r < in.offsets[s + 1]; ++r) {
          const double square = squares_of(target.row(r), target.row(r)).teacher;
          sum += square;
          used += square == 0 ? 0 : 1;
        }
      sizes.push_back(options_.per_token ? used : sum);
    }
  }
  [[nodiscard]] bool sizes_need_teacher() const override { return true; }

  double forward(tape<T>& t, const loss_inputs<T>& in) override {
    double sum = 0;
    for (std::size_t i = 0; i < layers_.size(); ++i)
      sum += this->share(i) * compare(t, in, layers_[i], this->share(i));
    return sum / static_cast<double>(layers_.size());
  }

 private:
  /// Squares of one token.
  struct squares {
    double difference = 0;  ///< square of the difference of both states
    double teacher = 0;     ///< square of the teacher's state
  };

  /// Records the backward of one pair of layers, times `share`, and returns its value.
  double compare(tape<T>& t, const loss_inputs<T>& in, const layer_pair& l, double share) {
    const variable<T> h = in.student_taps->at({l.student, tap_point::hidden});
    const matrix_view<const T> target = in.teacher_taps->at({l.teacher, tap_point::hidden}).value;
    require_shape(h.value, target.rows, target.cols, "hidden_states: the student's states");
    const std::span<squares> rows(t.memory().template allocate<squares>(target.rows), target.rows);
    for_each_row(target.rows, target.cols, t.executor(),
                 [&](std::size_t r) { rows[r] = squares_of(h.value.row(r), target.row(r)); });
    skip_first_tokens(rows, in.offsets);
    squares sum;
    double relative = 0, used = 0;
    for (const squares& s : rows) {
      sum = {sum.difference + s.difference, sum.teacher + s.teacher};
      relative += s.teacher == 0 ? 0 : s.difference / s.teacher;
      used += s.teacher == 0 ? 0 : 1;
    }
    if (sum.teacher == 0) throw numeric_error("hidden_states: the teacher's states are all zero");
    t.record([=, this, ex = t.executor()] {
      for_each_row(target.rows, target.cols, ex, [&](std::size_t r) {
        if (rows[r].teacher == 0) return;
        const double size = options_.per_token ? rows[r].teacher * used : sum.teacher;
        const T scale = static_cast<T>(this->factor() * share * 2 /
                                       (size * static_cast<double>(layers_.size())));
        simd::axpy<T>(scale, row_view<const T>(h.value.row(r)), h.grad.row(r));
        simd::axpy<T>(-scale, target.row(r), h.grad.row(r));
      });
    });
    return options_.per_token ? relative / used : sum.difference / sum.teacher;
  }

  static squares squares_of(row_view<const T> x, row_view<const T> target) {
    squares s;
    for (std::size_t c = 0; c < x.size; ++c) {
      const double want = static_cast<double>(target[c]), off = static_cast<double>(x[c]) - want;
      s.difference += off * off;
      s.teacher += want * want;
    }
    return s;
  }

  /// Tokens that are left out have squares of 0.
  void skip_first_tokens(std::span<squares> rows, std::span<const std::size_t> offsets) const {
    if (options_.skip_first == 0) return;
    for (std::size_t s = 0; s + 1 < offsets.size(); ++s)
      for (std::size_t r = offsets[s];
           r < std::min(offsets[s] + options_.skip_first, offsets[s + 1]); ++r)
        rows[r] = {};
  }

  options options_;
  std::vector<layer_pair> layers_;
};

}  // namespace tern::inline TERN_ABI
