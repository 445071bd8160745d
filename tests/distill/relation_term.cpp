// The relation term: which layers it compares, how their values are put together, and the gradient.
#include "tern/distill/relation_term.hpp"

#include <array>
#include <string>
#include <vector>

#include "tests/gradient_check.hpp"
#include "tests/support.hpp"

using namespace tern;
using namespace tern_test;

namespace {

/// Q, K and V of student and teacher in three layers, of two sequences of 3 and 4 tokens.
struct projections {
  static constexpr std::size_t layers = 3, tokens = 7, width = 4;
  static constexpr std::array points{tap_point::q, tap_point::k, tap_point::v};
  std::vector<std::array<matrix<double>, 3>> student, teacher, gradient;
  std::vector<std::size_t> offsets{0, 3, 7};

  projections() : student(layers), teacher(layers), gradient(layers) {
    for (std::size_t l = 0; l < layers; ++l)
      for (std::size_t j = 0; j < points.size(); ++j) {
        student[l][j] = random_matrix<double>(tokens, width, 100 + 3 * l + j);
        teacher[l][j] = random_matrix<double>(tokens, width, 200 + 3 * l + j);
        gradient[l][j] = matrix<double>::Zero(tokens, width);
      }
  }

  /// The value of the term; `gradient` becomes that of `factor` times it.
  double value(relation_term_options options, double factor = 1) {
    options.form.split_heads = 2;
    relation_term<double> term(options, {layers, layers});
    taps<double> of_student, of_teacher;
    term.request(of_student, of_teacher);
    tape<double> t;
    for (std::size_t l = 0; l < layers; ++l)
      for (std::size_t j = 0; j < points.size(); ++j) {
        gradient[l][j].setZero();
        of_student.fill(t, {l, points[j]}, {student[l][j], gradient[l][j]});
        of_teacher.fill(t, {l, points[j]}, {teacher[l][j], {}});
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
};

relation_term_options relations_of(int layer, std::size_t every) {
  relation_term_options o;
  o.layers.layer = layer;
  o.every = every;
  return o;
}

}  // namespace

TEST_CASE("relations of several layers are the mean of those of each") {
  const auto [name, layer, every, chosen] =
      GENERATE(table<std::string, int, std::size_t, std::vector<int>>({
          {"the layer before the last", -2, 0, {1}},
          {"every layer", -1, 1, {2, 1, 0}},
          {"every second layer", -1, 2, {2, 0}},
          {"every layer from the second on", 1, 1, {1, 0}},
      }));
  INFO(name);
  projections p;
  double want = 0;
  for (const int l : chosen) want += p.value(relations_of(l, 0));
  CHECK(p.value(relations_of(layer, every)) ==
        Approx(want / static_cast<double>(chosen.size())).epsilon(1e-12));
}

TEST_CASE("the gradient of relations of several layers agrees with central differences") {
  projections p;
  const auto options = relations_of(-1, 2);
  p.value(options, 0.7);
  const auto gradient = p.gradient;
  CHECK(gradient[1][0].isZero());
  for (const std::size_t l : {std::size_t{0}, std::size_t{2}})
    for (std::size_t j = 0; j < 3; ++j) {
      INFO("layer " << l << ", projection " << j);
      check_gradient([&] { return 0.7 * p.value(options); }, p.student[l][j], gradient[l][j]);
    }
}
