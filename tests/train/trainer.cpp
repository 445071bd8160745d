// Tests of a whole stage of distillation: the same bits for any number of threads and after
// resuming at any step, no allocation after the first steps, and gradients of the whole objective
// by differences.
#include <cmath>
#include <memory>
#include <optional>
#include <vector>

#include "tern/core/thread_pool.hpp"
#include "tern/model/surgery.hpp"
#include "tern/recipe/loss_terms.hpp"
#include "tern/recipe/stage_loss.hpp"
#include "tern/recipe/training_state.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

model_config tiny(std::size_t hidden, std::size_t heads) {
  model_config c;
  c.vocab_size = 50;
  c.hidden_size = hidden;
  c.intermediate_size = 2 * hidden;
  c.num_hidden_layers = 2;
  c.num_attention_heads = heads;
  c.num_key_value_heads = heads / 2;
  c.head_dim = 8;
  c.max_position_embeddings = 32;
  c.initializer_range = 0.2;
  return c;
}

std::vector<token_example> examples() {
  std::vector<token_example> list(20);
  philox random(4);
  for (token_example& e : list) {
    e.label = static_cast<std::int32_t>(random.below(3));
    e.answer = 3 + random.below(9);
    e.tokens.resize(e.answer);
    for (auto& token : e.tokens) token = static_cast<std::int32_t>(random.below(50));
    e.tokens.push_back(7 + e.label);
  }
  return list;
}

/// Cross-entropy, logits and relations.
loss_options terms(double gamma, bool balance) {
  relation_term_options relations;
  relations.weight = gamma;
  relations.form.split_heads = 2;
  relations.layers = {0, 1};
  logits_term_options logits;
  logits.weight = 1;
  loss_options o = loss_options::with(cross_entropy_options{}, logits, relations);
  o.balance = balance;
  return o;
}

/// A ternary student with SubLN that is distilled from a wider teacher.
template <class T>
struct bench {
  using model = decoder<matrix<T>>;
  std::vector<token_example> data = examples();
  model student{tiny(16, 4)}, teacher{tiny(32, 8)};
  std::optional<stage_loss<model>> loss;

  explicit bench(bool ternary, executor_ref ex = {}, const loss_options& o = terms(0.5, true)) {
    student.initialize(1);
    teacher.initialize(2);
    if (ternary) {
      insert_sub_ln(student);
      make_ternary(student);
    }
    loss.emplace(student, &teacher, std::make_unique<example_batches>(data, 6, 9),
                 make_objective<T>(o, {2, 2}), ex);
  }
};

trainer_options options() {
  trainer_options o;
  o.learning_rate = 1e-2;
  o.plan.steps = 8;
  o.plan.warmup_steps = 2;
  o.accumulate = 2;
  o.log_every = 3;
  return o;
}

std::vector<float> weights(decoder<>& model) {
  std::vector<float> all;
  model.for_each_parameter(
      [&](auto& p) { all.insert(all.end(), p.value.data(), p.value.data() + p.value.size()); });
  return all;
}

std::unique_ptr<optimizer<matrix<float>>> rule_with(moment_format moments) {
  return std::make_unique<adamw<matrix<float>>>(adamw_options{.moments = moments});
}

std::vector<float> unbroken(executor_ref ex, precision products = precision::exact,
                            moment_format moments = moment_format::real) {
  bench<float> b(true, ex);
  trainer_options o = options();
  o.products = products;
  trainer<decoder<>> t(b.student, o, rule_with(moments), ex);
  while (!t.done()) t.advance(*b.loss);
  return weights(b.student);
}

}  // namespace

TEST_CASE("training gives the same bits for any number of threads") {
  const precision products = GENERATE(precision::exact, precision::bf16);
  const auto serial = unbroken({}, products);
  for (const std::size_t threads : {1u, 2u, 3u}) {
    thread_pool pool(threads);
    CHECK(unbroken(pool, products) == serial);
  }
}

TEST_CASE("a stage with bf16 products stays near the exact one") {
  const auto exact = unbroken({}), rounded = unbroken({}, precision::bf16);
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    difference += std::pow(exact[i] - rounded[i], 2);
    size += std::pow(exact[i], 2);
  }
  CHECK(std::sqrt(difference / size) < 0.05);
  CHECK((difference > 0) == (isa::active() >= isa::level::avx512bf16));
}

TEST_CASE("a stage with eight-bit moments stays near the one with floats") {
  bench<float> start(true);
  const auto before = weights(start.student), exact = unbroken({}),
             coded = unbroken({}, precision::exact, moment_format::int8);
  double difference = 0, moved = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    difference += std::pow(exact[i] - coded[i], 2);
    moved += std::pow(exact[i] - before[i], 2);
  }
  CHECK(difference > 0);
  CHECK(std::sqrt(difference / moved) < 0.2);
}

TEST_CASE("a stage resumed at any step ends with the same bits") {
  const moment_format moments = GENERATE(moment_format::real, moment_format::int8);
  const auto want = unbroken({}, precision::exact, moments);
  const tern_test::scratch_dir scratch;
  const auto file = scratch.path() / "stage.state";
  for (const std::size_t stop : {1u, 3u, 7u}) {
    {
      bench<float> b(true);
      trainer<decoder<>> t(b.student, options(), rule_with(moments));
      while (t.step() < stop) t.advance(*b.loss);
      save_training_state(t, b.loss->terms(), {"student", "x"}, file);
    }
    bench<float> b(true);
    trainer<decoder<>> t(b.student, options(), rule_with(moments));
    CHECK_THROWS_AS(load_training_state(t, b.loss->terms(), "teacher", file), format_error);
    load_training_state(t, b.loss->terms(), "student", file);
    CHECK(t.step() == stop);
    while (!t.done()) t.advance(*b.loss);
    CHECK(weights(b.student) == want);
  }
}

TEST_CASE(
    "parameters whose rate is 0 have no gradients or moments and stay, and others move as without "
    "that") {
  const auto kind = GENERATE(parameter_kind::matrix, parameter_kind::table, parameter_kind::vector);
  trainer_options all = options(), some = options();
  all.clip = some.clip = 0;  // the norm of fewer gradients is smaller
  (kind == parameter_kind::matrix  ? some.rates.matrices
   : kind == parameter_kind::table ? some.rates.tables
                                   : some.rates.vectors) = 0;
  bench<float> start(true), moving(true), frozen(true);
  {
    trainer<decoder<>> a(moving.student, all), b(frozen.student, some);
    a.advance(*moving.loss);
    b.advance(*frozen.loss);
    std::size_t index = 0;
    frozen.student.for_each_parameter([&](auto& p) {
      CHECK((p.grad.size() == 0) == (p.kind == kind));
      CHECK(b.optimizer().moments()[index++].empty() == (p.kind == kind));
    });
  }
  std::vector<matrix<float>> before, after;
  start.student.for_each_parameter([&](auto& p) { before.push_back(p.value); });
  moving.student.for_each_parameter([&](auto& p) { after.push_back(p.value); });
  std::size_t i = 0;
  frozen.student.for_each_parameter([&](auto& p) {
    CHECK(before[i] != after[i]);
    CHECK(p.value == (p.kind == kind ? before[i] : after[i]));
    ++i;
  });
}

TEST_CASE("after the first steps the tape takes no memory from the system") {
  bench<float> b(true);
  trainer<decoder<>> t(b.student, options());
  for (int i = 0; i < 4; ++i) t.advance(*b.loss);
  const std::size_t before = t.graph().memory().system_allocations();
  while (!t.done()) t.advance(*b.loss);
  CHECK(t.graph().memory().system_allocations() == before);
}

TEST_CASE("the gradient of the whole objective agrees with central differences") {
  bench<double> b(false, {}, terms(3.0, false));
  tape<double> t;
  b.student.train(true);
  (*b.loss)(t, 0);
  t.backward();
  const auto value = [&] {
    t.reset();
    return (*b.loss)(t, 0).loss.total;
  };
  std::size_t index = 0;
  b.student.for_each_parameter([&](auto& p) {
    const std::size_t n = static_cast<std::size_t>(p.value.size());
    double* const x = p.value.data() + (index++ * 7) % n;
    const double analytic = p.grad.data()[x - p.value.data()], at = *x, h = 1e-5;
    *x = at + h;
    const double up = value();
    *x = at - h;
    const double down = value();
    *x = at;
    INFO(p.name);
    CHECK(std::abs((up - down) / (2 * h) - analytic) <= 1e-6 * (std::abs(analytic) + 1e-2));
  });
}

TEST_CASE("a loss that is not finite stops the stage and leaves the weights as they were") {
  bench<float> b(true);
  b.teacher.head().value(7, 0) = std::nanf("");
  trainer<decoder<>> t(b.student, options());
  const auto before = weights(b.student);
  CHECK_THROWS_AS(t.advance(*b.loss), numeric_error);
  CHECK(weights(b.student) == before);
}
