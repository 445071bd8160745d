// The comparison of hidden states: layers, tokens that are left out, both means, and the gradient.
#include "tern/distill/hidden_state_term.hpp"

#include <string>
#include <vector>

#include "tests/gradient_check.hpp"
#include "tests/message.hpp"

using namespace tern;
using namespace tern_test;

namespace {

constexpr std::size_t token_count = 7, state_width = 5, layer_count = 4;

/// States of student and teacher in all layers, of two sequences of 3 and 4 tokens.
struct states {
  std::vector<matrix<double>> student, teacher, gradient;
  std::vector<std::size_t> offsets{0, 3, 7};

  states() {
    for (std::size_t l = 0; l < layer_count; ++l) {
      student.push_back(random_matrix<double>(token_count, state_width, 10 + l));
      teacher.push_back(random_matrix<double>(token_count, state_width, 20 + l));
      gradient.push_back(matrix<double>::Zero(token_count, state_width));
    }
  }

  /// The value of the term; `gradient` becomes that of `factor` times it.
  double value(const hidden_state_term_options& options, double factor = 1) {
    hidden_state_term<double> term(options, {layer_count, layer_count});
    taps<double> of_student, of_teacher;
    term.request(of_student, of_teacher);
    tape<double> t;
    for (std::size_t l = 0; l < layer_count; ++l) {
      gradient[l].setZero();
      of_student.fill(t, {l, tap_point::hidden}, {student[l], gradient[l]});
      of_teacher.fill(t, {l, tap_point::hidden}, {teacher[l], {}});
    }
    loss_inputs<double> in;
    in.offsets = offsets;
    in.student_taps = &of_student;
    in.teacher_taps = &of_teacher;
    const double value = term.forward(t, in);
    term.set_factor(factor);
    t.backward();
    return value;
  }

  /// One layer by its definition; `first` rows of each sequence are left out.
  [[nodiscard]] double expected(std::size_t l, std::size_t first, bool per_token) const {
    double difference = 0, square = 0, relative = 0, used = 0;
    for (std::size_t s = 0; s + 1 < offsets.size(); ++s)
      for (std::size_t r = offsets[s] + first; r < offsets[s + 1]; ++r) {
        const auto row = static_cast<Eigen::Index>(r);
        const double d = (student[l].row(row) - teacher[l].row(row)).squaredNorm(),
                     q = teacher[l].row(row).squaredNorm();
        difference += d;
        square += q;
        relative += d / q;
        ++used;
      }
    return per_token ? relative / used : difference / square;
  }
};

}  // namespace

TEST_CASE("hidden states are compared in the layers and tokens that the options name") {
  const auto [name, options, chosen] =
      GENERATE(table<std::string, hidden_state_term_options, std::vector<std::size_t>>({
          {"the layer before the last", {}, {2}},
          {"every second layer", {.layers = {-1, {}}, .every = 2}, {3, 1}},
          {"every layer", {.layers = {-1, {}}, .every = 1}, {3, 2, 1, 0}},
          {"without first tokens", {.skip_first = 1}, {2}},
          {"token by token", {.per_token = true}, {2}},
          {"all of it",
           {.layers = {-1, {}}, .every = 3, .skip_first = 2, .per_token = true},
           {3, 0}},
      }));
  INFO(name);
  states s;
  double want = 0;
  for (const std::size_t l : chosen) want += s.expected(l, options.skip_first, options.per_token);
  CHECK(s.value(options) == Approx(want / static_cast<double>(chosen.size())).epsilon(1e-12));
}

TEST_CASE("the gradient of hidden states agrees with central differences") {
  const auto options = GENERATE(hidden_state_term_options{},
                                hidden_state_term_options{.layers = {-1, {}}, .every = 2},
                                hidden_state_term_options{.skip_first = 1, .per_token = true});
  states s;
  s.value(options, 0.7);
  const std::vector<matrix<double>> gradient = s.gradient;
  std::size_t compared = 0;
  for (std::size_t l = 0; l < layer_count; ++l) {
    if (gradient[l].isZero()) continue;  // the layer is not compared
    ++compared;
    check_gradient([&] { return 0.7 * s.value(options); }, s.student[l], gradient[l]);
  }
  CHECK(compared == (options.every == 0 ? 1 : 2));
}

TEST_CASE("sequences of sinks alone are refused") {
  states s;
  CHECK(message_of<numeric_error>([&] { s.value({.skip_first = 4}); }) ==
        "hidden_states: the teacher's states are all zero");
}
