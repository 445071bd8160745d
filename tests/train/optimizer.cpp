// Tests of AdamW (against PyTorch), of schedules at their corners and of clipping.
#include <array>
#include <cmath>

#include "tern/adapt/eigen.hpp"
#include "tern/core/random.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/train/adamw.hpp"
#include "tern/train/gradient_norm.hpp"
#include "tern/train/schedule.hpp"
#include "tern/train/sgd.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

struct one_matrix {
  using scalar = double;
  parameter<matrix<double>> weight;

  template <class F>
  void for_each_parameter(F&& f) {
    f(weight);
  }
};

/// The first moment of the matrix.
Eigen::Map<const matrix<double>> momentum(optimizer<matrix<double>>& rule) {
  const matrix_view<double> m = rule.moments()[0][0].values();
  return {m.data, static_cast<Eigen::Index>(m.rows), static_cast<Eigen::Index>(m.cols)};
}

}  // namespace

TEST_CASE("ten steps of AdamW with clipping equal PyTorch's") {
  one_matrix model{{"w", 2, 3}};
  model.weight.value << 0.5, -1.25, 2.0, 0.0, 0.75, -0.1;
  model.weight.grad = matrix<double>::Zero(2, 3);
  matrix<double> target(2, 3);
  target << 1.0, 1.0, -1.0, 0.5, -0.5, 0.25;
  adamw_options options;
  options.weight_decay = 0.1;
  adamw<matrix<double>> optimizer(model, options);
  for (int step = 0; step < 10; ++step) {
    model.weight.grad = 2 * (model.weight.value - target);
    const double norm = gradient_norm(model);
    optimizer.step(model, 0.05, 1.0, norm > 1 ? 1 / (norm + 1e-6) : 1.0);  // PyTorch adds 1e-6
    CHECK(model.weight.grad.isZero());
  }
  const std::array<double, 6> want{
#include "tests/oracle/adamw.inc"
  };
  for (int i = 0; i < 6; ++i)
    CHECK(model.weight.value.data()[i] == Approx(want[static_cast<std::size_t>(i)]).epsilon(1e-12));
}

TEST_CASE("SGD with momentum is the plain recurrence of its definition") {
  one_matrix model{{"w", 1, 3}};
  model.weight.value << 0.5, -1.25, 2.0;
  model.weight.grad = matrix<double>::Zero(1, 3);
  sgd<matrix<double>> rule({.momentum = 0.8, .weight_decay = 0});
  rule.attach(model);
  matrix<double> w = model.weight.value, m = matrix<double>::Zero(1, 3);
  for (int step = 0; step < 5; ++step) {
    model.weight.grad = 2 * model.weight.value;
    rule.step(model, 0.05, 1.0, 0.5);
    m = 0.8 * m + 0.5 * 2 * w;
    w -= 0.05 * m;
  }
  CHECK(model.weight.grad.isZero());
  for (int i = 0; i < 3; ++i) CHECK(model.weight.value(0, i) == Approx(w(0, i)).epsilon(1e-14));
}

TEST_CASE("cautious AdamW leaves out what momentum and gradient disagree on") {
  const std::size_t rows = 5, cols = 37;
  one_matrix model{{"w", rows, cols}}, plain{{"w", rows, cols}};
  model.weight.fill_normal(1, philox(1));
  plain.weight.value = model.weight.value;
  adamw<matrix<double>> cautious(model, {.weight_decay = 0, .cautious = true});
  adamw<matrix<double>> usual(plain, {.weight_decay = 0});
  for (std::uint64_t step = 0; step < 4; ++step) {
    const matrix<double> before = model.weight.value, start = plain.weight.value;
    model.weight.grad = plain.weight.grad = matrix<double>::Zero(rows, cols);
    parameter<matrix<double>> g("g", rows, cols);
    g.fill_normal(1, philox(2, step));
    model.weight.grad = plain.weight.grad = g.value;
    cautious.step(model, 0.05, 1.0, 0.5);
    usual.step(plain, 0.05, 1.0, 0.5);
    CHECK(model.weight.grad.isZero());
    const Eigen::Map<const matrix<double>> m = momentum(usual);
    CHECK(momentum(cautious) == m);
    const auto agrees = (m.array() * g.value.array() > 0).cast<double>();
    const double share = agrees.mean();
    CHECK(((step == 0 && share == 1) || (share > 0.3 && share < 1)));
    const matrix<double> expected = (plain.weight.value - start).array() * agrees / share;
    CHECK((model.weight.value - before - expected).cwiseAbs().maxCoeff() < 1e-14);
  }
}

TEST_CASE("each kind of parameter has its own factor on the learning rate") {
  const auto [kind, factors] = GENERATE(table<parameter_kind, rate_factors>({
      {parameter_kind::matrix, {.matrices = 3}},
      {parameter_kind::table, {.tables = 3}},
      {parameter_kind::vector, {.vectors = 3}},
      {parameter_kind::scales, {.scales = 3}},
  }));
  one_matrix model{{"w", 2, 3}};
  model.weight.kind = kind;
  model.weight.grad = matrix<double>::Constant(2, 3, 1);
  sgd<matrix<double>> rule({.momentum = 0, .weight_decay = 0});
  rule.attach(model);
  rule.step(model, 0.1, 1.0, 1.0, {}, factors);
  CHECK(model.weight.value(1, 2) == Approx(-0.3));
}

TEST_CASE("by_spread multiplies the learning rate by the root mean square of the elements") {
  one_matrix model{{"w", 2, 2}};
  model.weight.value << 3, -3, 4, -4;
  model.weight.grad = matrix<double>::Constant(2, 2, 1);
  sgd<matrix<double>> rule({.momentum = 0, .weight_decay = 0});
  rule.attach(model);
  rule.step(model, 0.1, 1.0, 1.0, {}, {.matrices = 2, .by_spread = true});
  CHECK(model.weight.value(0, 0) == Approx(3 - 0.2 * std::sqrt(12.5)));
}

TEST_CASE("the gradient's norm has every row, and the same bits on any number of threads") {
  one_matrix model{{"w", 1000, 130}};
  model.weight.grad = matrix<double>::Random(1000, 130);
  const double norm = gradient_norm(model);
  CHECK(norm == Approx(model.weight.grad.norm()).epsilon(1e-13));
  for (const std::size_t threads : {2u, 3u}) {
    thread_pool pool(threads);
    CHECK(gradient_norm(model, pool) == norm);
  }
}

TEST_CASE("vectors and scales are not decayed") {
  one_matrix model{{"gain", 1, 4}};
  CHECK(model.weight.is_vector());
  model.weight.kind = GENERATE(parameter_kind::vector, parameter_kind::scales);
  model.weight.fill(1.0);
  model.weight.grad = matrix<double>::Zero(1, 4);
  adamw_options options;
  options.weight_decay = 0.5;
  adamw<matrix<double>> optimizer(model, options);
  optimizer.step(model, 0.1, 1.0, 1.0);
  CHECK(model.weight.value(0, 0) == 1.0);
}

TEST_CASE("schedules have their values at their corners") {
  schedule s;
  s.steps = 110;
  s.warmup_steps = 10;
  CHECK(s.rate(0) == Approx(0.1));
  CHECK(s.rate(9) == Approx(1.0));
  CHECK(s.rate(10) == Approx(1.0));
  CHECK(s.rate(60) == Approx(0.5));
  CHECK(s.rate(110) == Approx(0.0).margin(1e-12));
  s.kind = schedule_kind::linear;
  s.min_ratio = 0.1;
  CHECK(s.rate(35) == Approx(1.0 - 0.9 * 0.25));
  CHECK(s.rate(110) == Approx(0.1));
  s.kind = schedule_kind::constant;
  CHECK(s.rate(100) == 1.0);
  s.kind = schedule_kind::two_stage;
  s.min_ratio = 0.0;
  CHECK(s.rate(54) == Approx(1.0 - 0.44));
  CHECK(s.decay(54) == 1.0);
  CHECK(s.rate(55) == Approx(0.5 * (1.0 - 0.45)));
  CHECK(s.decay(55) == 0.0);
}
