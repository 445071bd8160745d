// Moments that are stored with eight bits: what an optimizer does with them, and how near it stays
// to one that has floats.
#include <algorithm>
#include <cmath>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/core/random.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/train/adamw.hpp"
#include "tern/train/moment.hpp"
#include "tern/train/sgd.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

/// A model of one matrix whose rows are two blocks and a rest.
struct wide_matrix {
  using scalar = float;
  parameter<matrix<float>> weight{"w", 70, 600};

  wide_matrix() { weight.fill_normal(1, philox(1)); }
  template <class F>
  void for_each_parameter(F&& f) {
    f(weight);
  }
  /// Gradients of step `n`, some of which are much smaller than others.
  void draw_gradient(std::uint64_t n) {
    parameter<matrix<float>> g("g", 70, 600);
    g.fill_normal(1, philox(2, n));
    weight.grad = g.value.array().cube();
  }
};

/// The elements of a moment after a block was rounded and read back.
void round_blocks(matrix<float>& m, bool has_sign) {
  const matrix_view<float> view = m;
  moment<matrix<float>> stored(view.rows, view.cols, moment_format::int8, has_sign);
  for (std::size_t r = 0; r < view.rows; ++r)
    for (std::size_t c = 0; c < view.cols; c += 256) {
      const auto part = part_of(view.row(r), c, std::min<std::size_t>(256, view.cols - c));
      stored.write(r, c, row_view<const float>(part));
      stored.read(r, c, part);
    }
}

matrix<float> after_five_steps(const adamw_options& o, executor_ref ex) {
  wide_matrix model;
  adamw<matrix<float>> rule(model, o);
  for (std::uint64_t n = 0; n < 5; ++n) {
    model.draw_gradient(n);
    rule.step(model, 0.01, 1.0, 0.5, ex);
  }
  return model.weight.value;
}

struct regression {
  using scalar = float;
  parameter<matrix<float>> weight{"w", 8, 300};

  template <class F>
  void for_each_parameter(F&& f) {
    f(weight);
  }
};

/// Squared error of a fit, without the noise of the labels. Inputs differ in size by up to a
/// thousand, and so do gradients. Each step sees 16 examples of its own.
template <class Rule>
double loss_of_regression(const typename Rule::options& o, double rate) {
  constexpr Eigen::Index batch = 16;
  regression model, truth;
  truth.weight.fill_normal(1, philox(5));
  matrix<float> size(1, 300);
  philox random(6);
  for (Eigen::Index i = 0; i < 300; ++i)
    size(0, i) = static_cast<float>(std::pow(10.0, -3 * random.uniform()));
  Rule rule(o);
  rule.attach(model);
  for (std::uint64_t step = 0; step < 400; ++step) {
    philox draw(7, step);
    matrix<float> x(batch, 300), noise(batch, 8);
    for (Eigen::Index i = 0; i < x.size(); ++i)
      x.data()[i] = size(0, i % 300) * static_cast<float>(draw.normal());
    for (Eigen::Index i = 0; i < noise.size(); ++i)
      noise.data()[i] = 0.1f * static_cast<float>(draw.normal());
    const matrix<float> error = x * (model.weight.value - truth.weight.value).transpose() - noise;
    model.weight.grad = error.transpose() * x / static_cast<float>(batch);
    rule.step(model, rate * (1 - static_cast<double>(step) / 400), 1.0, 1.0);
  }
  const matrix<float> left =
      (model.weight.value - truth.weight.value).array().rowwise() * size.array().row(0);
  return static_cast<double>(left.squaredNorm());
}

}  // namespace

TEST_CASE("eight-bit moments have a byte for each element and a scale for each block") {
  wide_matrix model;
  adamw<matrix<float>> rule(model, {.moments = moment_format::int8});
  for (auto& m : rule.moments()[0]) {
    CHECK(m.values().size() == 0);
    CHECK(m.codes().size() == 70 * 600);
    CHECK(m.scales().rows == 70);
    CHECK(m.scales().cols == 3);
  }
  CHECK(rule.moment_bytes(parameter_kind::matrix, {70, 600}) == 2 * 70 * (600 + 3 * 4));
  CHECK(rule.moment_bytes(parameter_kind::vector, {70, 600}) == 2 * 70 * 600 * 4);
}

TEST_CASE("AdamW with eight-bit moments is the plain recurrence with rounding between steps") {
  wide_matrix model;
  adamw<matrix<float>> rule(model, {.weight_decay = 0, .moments = moment_format::int8});
  matrix<float> w = model.weight.value, m = matrix<float>::Zero(70, 600), v = m;
  for (std::uint64_t n = 0; n < 5; ++n) {
    model.draw_gradient(n);
    const matrix<float> g = 0.5f * model.weight.grad;
    rule.step(model, 0.01, 1.0, 0.5);
    m = 0.9f * m + 0.1f * g;
    v = 0.95f * v.array() + 0.05f * g.array().square();
    const auto t = static_cast<float>(n + 1);
    w.array() -= 0.01f / (1 - std::pow(0.9f, t)) * m.array() /
                 ((v.array() / (1 - std::pow(0.95f, t))).sqrt() + 1e-8f);
    round_blocks(m, true);
    round_blocks(v, false);
  }
  // A number near a bound may be rounded the other way, and then its update differs a little.
  const matrix<float> difference = (model.weight.value - w).cwiseAbs();
  CHECK(difference.mean() < 1e-6f);
  CHECK(difference.maxCoeff() < 2e-3f);
}

TEST_CASE("eight-bit moments have the same bits for any number of threads") {
  const bool cautious = GENERATE(false, true);
  const adamw_options o{.cautious = cautious, .moments = moment_format::int8};
  const matrix<float> serial = after_five_steps(o, {});
  for (const std::size_t threads : {2u, 3u}) {
    thread_pool pool(threads);
    CHECK(after_five_steps(o, pool) == serial);
  }
  CHECK(serial != after_five_steps({.cautious = cautious}, {}));
}

TEST_CASE("cautious AdamW with eight-bit moments stays near that with floats") {
  const matrix<float> exact = after_five_steps({.cautious = true}, {}),
                      coded =
                          after_five_steps({.cautious = true, .moments = moment_format::int8}, {});
  const wide_matrix start;
  CHECK((coded - exact).norm() < 0.1f * (exact - start.weight.value).norm());
}

TEST_CASE("a regression is fitted as well with eight-bit moments as with floats") {
  const double exact = loss_of_regression<adamw<matrix<float>>>({.weight_decay = 0}, 0.02);
  const double coded = loss_of_regression<adamw<matrix<float>>>(
      {.weight_decay = 0, .moments = moment_format::int8}, 0.02);
  CHECK(coded == Approx(exact).epsilon(0.1));
  const double by_sgd = loss_of_regression<sgd<matrix<float>>>({.weight_decay = 0}, 0.02);
  const double by_coded_sgd = loss_of_regression<sgd<matrix<float>>>(
      {.weight_decay = 0, .moments = moment_format::int8}, 0.02);
  CHECK(by_coded_sgd == Approx(by_sgd).epsilon(0.1));
}
