// The weighted sum of loss terms: totals, balancing, and the gradient of hidden states.
#include "tern/distill/objective.hpp"

#include <cmath>
#include <memory>
#include <vector>

#include "../gradient_check.hpp"
#include "tern/distill/hidden_state_term.hpp"
#include "tern/distill/logits_term.hpp"
#include "tests/message.hpp"

using namespace tern;
using namespace tern_test;

namespace {

/// Student and teacher states of one micro-batch, as a model would hand them over.
struct inputs {
  matrix<double> hidden = random_matrix<double>(5, 8, 1), head = random_matrix<double>(11, 8, 2);
  matrix<double> teacher = random_matrix<double>(5, 11, 3), wanted = random_matrix<double>(5, 8, 4);
  matrix<double> hidden_grad = matrix<double>::Zero(5, 8), head_grad = matrix<double>::Zero(11, 8);
  std::vector<std::int32_t> targets{1, -100, 3, 10, 0};
  taps<double> student_taps, teacher_taps;
  tape<double> recording, watching{{}, false};

  inputs() {
    for (auto* t : {&student_taps, &teacher_taps}) t->request({1, tap_point::hidden});
    teacher_taps.reserve(watching, 5, [](tap_point) { return std::size_t{8}; });
    teacher_taps.fill(watching, {1, tap_point::hidden}, {wanted, {}});
  }
  loss_inputs<double> of_step() {
    const variable<double> h{hidden, hidden_grad};
    student_taps.fill(recording, {1, tap_point::hidden}, h);
    return {.hidden = h,
            .table = {head, head_grad},
            .targets = targets,
            .student_taps = &student_taps,
            .teacher_taps = &teacher_taps,
            .teacher_logits = teacher};
  }
};

objective<double> three_terms(bool balance) {
  const layer_counts layers{2, 2};
  std::vector<objective<double>::weighted_term> terms;
  terms.push_back(
      {std::make_unique<cross_entropy_term<double>>(cross_entropy_options{}, layers), 1});
  terms.push_back({std::make_unique<logits_term<double>>(logits_term_options{}, layers), 3});
  terms.push_back({std::make_unique<hidden_state_term<double>>(
                       hidden_state_term_options{.layers = {-1, {}}}, layers),
                   0.5});
  return objective<double>(std::move(terms), balance);
}

}  // namespace

TEST_CASE("the total is the weighted sum of the terms") {
  inputs in;
  auto loss = three_terms(false);
  const loss_values values = loss.record(in.recording, in.of_step());
  REQUIRE(values.count == 3);
  CHECK(values.of("logits") > 0);
  CHECK(values.total == Approx(values.of("cross_entropy") + 3 * values.of("logits") +
                               0.5 * values.of("hidden_states")));
}

TEST_CASE("hidden states: the squared difference relative to the teacher's square") {
  inputs in;
  auto loss = three_terms(false);
  const double want = (in.hidden - in.wanted).squaredNorm() / in.wanted.squaredNorm();
  CHECK(loss.record(in.recording, in.of_step()).of("hidden_states") == Approx(want).epsilon(1e-12));
}

TEST_CASE("logits of answers alone, or with a share of the other tokens") {
  const auto [tokens, share] = GENERATE(table<distilled_tokens, double>({
      {distilled_tokens::all, 0.0},
      {distilled_tokens::answer, 0.0},
      {distilled_tokens::answer, 0.2},
  }));
  inputs in;  // row 1 has no target
  const auto divergence = [&](const std::vector<Eigen::Index>& rows) {
    const matrix<double> s = in.hidden(rows, Eigen::all) * in.head.transpose(),
                         t = in.teacher(rows, Eigen::all);
    std::vector<double> a(rows.size()), b(rows.size());
    return logits_loss<double>::forward(s, t, {}, a, b);
  };
  logits_term_options options;
  options.tokens = tokens;
  options.prompt_weight = share;
  std::vector<objective<double>::weighted_term> terms;
  terms.push_back({std::make_unique<logits_term<double>>(options), 1});
  CHECK(terms[0].term->needs_every_token() == (tokens == distilled_tokens::all || share > 0));
  objective<double> loss(std::move(terms));
  const double expected = tokens == distilled_tokens::all
                              ? divergence({0, 1, 2, 3, 4})
                              : divergence({0, 2, 3, 4}) + share * divergence({1});
  CHECK(loss.record(in.recording, in.of_step()).total == Approx(expected));
}

TEST_CASE("the gradient of an objective agrees with central differences") {
  inputs in;
  auto loss = three_terms(false);
  const auto value = [&] {
    in.recording.reset();
    return loss.record(in.recording, in.of_step()).total;
  };
  value();
  in.recording.backward();
  const auto check = [&](matrix<double>& x, const matrix<double>& gradient) {
    for (Eigen::Index i = 0; i < x.size(); ++i) {
      const double at = x.data()[i], h = 1e-6;
      x.data()[i] = at + h;
      const double up = value();
      x.data()[i] = at - h;
      const double down = value();
      x.data()[i] = at;
      CHECK((up - down) / (2 * h) == Approx(gradient.data()[i]).epsilon(1e-5).margin(1e-7));
    }
  };
  check(in.hidden, matrix<double>(in.hidden_grad));
  check(in.head, matrix<double>(in.head_grad));
}

TEST_CASE("balanced terms have a share of the first one") {
  inputs in;
  auto loss = three_terms(true);
  const loss_values values = loss.record(in.recording, in.of_step());
  CHECK(values.total == Approx(values.of("cross_entropy") * (1 + 3 + 0.5)));
  CHECK(loss.means().back() == 1);
}

TEST_CASE("running means come back, and only where they are as many as the terms") {
  auto loss = three_terms(true);
  loss.restore({1, 2, 3, 4});
  CHECK(loss.means() == std::vector<double>{1, 2, 3, 4});
  CHECK(message_of<format_error>([&] {
          loss.restore({1, 2});
        }) == "expected 4 running means, got 2");
}

TEST_CASE("layers are counted from the end, and the teacher's lies as far from its last") {
  struct row {
    const char* name;
    layer_choice choice;
    layer_counts counts;
    layer_pair want;
  };
  const auto r = GENERATE(values<row>({{"late layer of equals", {-2, {}}, {4, 4}, {2, 2}},
                                       {"deeper teacher", {-2, {}}, {4, 10}, {2, 8}},
                                       {"counted from 0", {1, {}}, {4, 10}, {1, 7}},
                                       {"the teacher's own", {1, 0}, {4, 10}, {1, 0}},
                                       {"shallow teacher", {0, {}}, {4, 2}, {0, 0}}}));
  INFO(r.name);
  const auto found = resolve_layers(r.choice, r.counts, "relations");
  CHECK(found.student == r.want.student);
  CHECK(found.teacher == r.want.teacher);
}

TEST_CASE("a layer that a model does not have is named") {
  CHECK(message_of<config_error>([] {
          resolve_layers({4, {}}, {4, 4}, "relations");
        }) == "relations: layer 4 is not one of the 4 layers of the student");
  CHECK(message_of<config_error>([] {
          resolve_layers({0, -5}, {4, 4}, "relations");
        }) == "relations: layer -5 is not one of the 4 layers of the teacher");
}
