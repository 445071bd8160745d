// Tests of a whole stage of distillation: the same bits for any number of threads and after
// resuming at any step, no allocation after the first steps, and gradients of the whole objective
// by differences.
#include <cmath>
#include <vector>

#include "tern/core/thread_pool.hpp"
#include "tern/model/surgery.hpp"
#include "tern/recipe/stages.hpp"
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

std::vector<task_example> examples() {
  std::vector<task_example> list(20);
  philox random(4);
  for (task_example& e : list) {
    e.label = static_cast<std::int32_t>(random.below(3));
    e.tokens.resize(3 + random.below(9));
    for (auto& token : e.tokens) token = static_cast<std::int32_t>(random.below(50));
  }
  return list;
}

const std::vector<std::int32_t> labels{7, 8, 9};

objective_options terms() {
  objective_options o;
  o.balance = true;
  o.lambda = 1.0;
  o.gamma = 0.5;
  o.relation.split_heads = 2;
  return o;
}

/// A ternary student with SubLN that is distilled from a wider teacher.
template <class T>
struct bench {
  using model = decoder<matrix<T>>;
  std::vector<task_example> data = examples();
  model student{tiny(16, 4)}, teacher{tiny(32, 8)};
  task_tuning<model> loss{student, data, labels, 6, 9};

  explicit bench(bool ternary, executor_ref ex = {}) {
    student.initialize(1);
    teacher.initialize(2);
    if (ternary) {
      insert_sub_ln(student);
      make_ternary(student);
    }
    loss.distil(teacher, 1, 0, terms(), ex);
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

std::vector<float> unbroken(executor_ref ex) {
  bench<float> b(true, ex);
  trainer<decoder<>> t(b.student, options(), ex);
  while (!t.done()) t.advance(b.loss);
  return weights(b.student);
}

}  // namespace

TEST_CASE("training gives the same bits for any number of threads") {
  const auto serial = unbroken({});
  for (const std::size_t threads : {1, 2, 3}) {
    thread_pool pool(threads);
    CHECK(unbroken(pool) == serial);
  }
}

TEST_CASE("a stage resumed at any step ends with the same bits") {
  const auto want = unbroken({});
  const tern_test::scratch_dir scratch;
  const auto file = scratch.path() / "stage.state";
  for (const std::size_t stop : {1, 3, 7}) {
    {
      bench<float> b(true);
      trainer<decoder<>> t(b.student, options());
      while (t.step() < stop) t.advance(b.loss);
      save_training_state(t, &b.loss.loss(), "student", file);
    }
    bench<float> b(true);
    trainer<decoder<>> t(b.student, options());
    CHECK_THROWS_AS(load_training_state(t, &b.loss.loss(), "teacher", file), format_error);
    load_training_state(t, &b.loss.loss(), "student", file);
    CHECK(t.step() == stop);
    while (!t.done()) t.advance(b.loss);
    CHECK(weights(b.student) == want);
  }
}

TEST_CASE("after the first steps the tape takes no memory from the system") {
  bench<float> b(true);
  trainer<decoder<>> t(b.student, options());
  for (int i = 0; i < 4; ++i) t.advance(b.loss);
  const std::size_t before = t.graph().memory().system_allocations();
  while (!t.done()) t.advance(b.loss);
  CHECK(t.graph().memory().system_allocations() == before);
}

TEST_CASE("the gradient of the whole objective agrees with central differences") {
  bench<double> b(false);
  objective_options fixed = terms();
  fixed.balance = false;
  fixed.gamma = 3.0;
  b.loss.distil(b.teacher, 1, 0, fixed);
  tape<double> t;
  b.student.train(true);
  b.loss(t, 0);
  t.backward();
  const auto value = [&] {
    t.reset();
    return b.loss(t, 0).terms.total;
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
  CHECK_THROWS_AS(t.advance(b.loss), numeric_error);
  CHECK(weights(b.student) == before);
}
