// Tests that the micro-batches of a step have together the gradient of one batch with all of their
// examples, whatever their lengths, for every loss term.
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "tern/model/decoder.hpp"
#include "tern/recipe/loss_terms.hpp"
#include "tern/recipe/stage_loss.hpp"
#include "tern/train/trainer.hpp"
#include "tests/small_decoder.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

using real_model = decoder<matrix<double>>;

/// Four examples with prompts and answers of different lengths.
std::vector<token_example> unequal() {
  std::vector<token_example> list;
  philox random(4);
  for (const auto& [prompt, answer] :
       {std::pair<std::size_t, std::size_t>{3, 1}, {40, 2}, {5, 4}, {20, 1}}) {
    token_example& e = list.emplace_back();
    e.answer = prompt;
    for (std::size_t i = 0; i < prompt + answer; ++i)
      e.tokens.push_back(static_cast<std::int32_t>(random.below(50)));
  }
  return list;
}

/// The gradient and the loss of a step.
struct uneven_step {
  std::vector<double> gradient;
  double loss = 0;
};

uneven_step step_of(const loss_options& losses, std::size_t micro_batches) {
  const auto data = unequal();
  real_model student(tern_test::small_config(50)), teacher(tern_test::small_config(50));
  student.initialize(1);
  teacher.initialize(2);
  student.train(true);
  stage_loss<real_model> loss(
      student, &teacher, std::make_unique<example_batches>(data, data.size() / micro_batches, 9),
      make_objective<double>(losses, {2, 2}));
  tape<double> t;
  t.begin_step({0, micro_batches});
  loss.begin_step(t, {micro_batches});
  uneven_step result;
  const double share = 1 / static_cast<double>(micro_batches);
  for (std::size_t i = 0; i < micro_batches; ++i) {
    t.reset();
    result.loss += share * loss(t, i).loss.total;
    t.backward();
  }
  t.accept_step();
  student.for_each_parameter([&](auto& p) {
    for (Eigen::Index i = 0; i < p.grad.size(); ++i)
      result.gradient.push_back(share * p.grad.data()[i]);
  });
  return result;
}

loss_options cross_entropy_and(auto... others) {
  return loss_options::with(cross_entropy_options{}, others...);
}

logits_term_options logits_over(distilled_tokens tokens, double prompt_weight = 0) {
  logits_term_options o;
  o.tokens = tokens;
  o.prompt_weight = prompt_weight;
  return o;
}

relation_term_options relation_losses() {
  relation_term_options o;
  o.weight = 100;
  o.form.split_heads = 2;
  o.layers = {0, 1};
  return o;
}

hidden_state_term_options state_losses(std::size_t every, std::size_t skip_first, bool per_token) {
  hidden_state_term_options o;
  o.every = every;
  o.skip_first = skip_first;
  o.per_token = per_token;
  return o;
}

loss_options balanced_losses() {
  loss_options o = cross_entropy_and(logits_over(distilled_tokens::all), relation_losses());
  o.balance = true;
  return o;
}

}  // namespace

TEST_CASE("micro-batches of different lengths have the gradient of one batch") {
  const auto [name, losses] = GENERATE(table<std::string, loss_options>(
      {{"cross-entropy", cross_entropy_and()},
       {"logits of all tokens", cross_entropy_and(logits_over(distilled_tokens::all))},
       {"logits of answers", cross_entropy_and(logits_over(distilled_tokens::answer))},
       {"logits of answers and prompts",
        cross_entropy_and(logits_over(distilled_tokens::answer, 0.5))},
       {"relations", cross_entropy_and(relation_losses())},
       {"hidden states", cross_entropy_and(state_losses(0, 0, false))},
       {"hidden states of all layers", cross_entropy_and(state_losses(1, 1, false))},
       {"hidden states by token", cross_entropy_and(state_losses(1, 2, true))},
       {"balanced terms", balanced_losses()}}));
  const std::size_t micro_batches = GENERATE(2u, 4u);
  INFO(name << ", " << micro_batches << " micro-batches");
  const uneven_step whole = step_of(losses, 1), parts = step_of(losses, micro_batches);
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < whole.gradient.size(); ++i) {
    difference += std::pow(whole.gradient[i] - parts.gradient[i], 2);
    size += std::pow(whole.gradient[i], 2);
  }
  CHECK(std::sqrt(difference / size) < 1e-10);
  CHECK(parts.loss == Approx(whole.loss).epsilon(1e-10));
}

TEST_CASE("the trainer tells the loss of all micro-batches of a step") {
  const auto data = unequal();
  const auto first_step = [&](std::size_t accumulate) {
    real_model student(tern_test::small_config(50));
    student.initialize(1);
    stage_loss<real_model> loss(student, nullptr,
                                std::make_unique<example_batches>(data, 4 / accumulate, 9),
                                make_objective<double>(cross_entropy_and(), {2, 2}));
    trainer_options o;
    o.accumulate = accumulate;
    trainer<real_model> t(student, o);
    return t.advance(loss);
  };
  const step_report whole = first_step(1), parts = first_step(2);
  CHECK(parts.loss.total == Approx(whole.loss.total).epsilon(1e-12));
  CHECK(parts.gradient_norm == Approx(whole.gradient_norm).epsilon(1e-12));
}
