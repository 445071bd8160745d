#include "tern/distill/logits.hpp"

#include <cmath>
#include <limits>
#include <span>
#include <tuple>
#include <vector>

#include "../gradient_check.hpp"
#include "../oracle/losses.inc"
#include "../oracle/wave.hpp"
#include "tern/core/thread_pool.hpp"

using namespace tern;
using namespace tern_test;

namespace {

template <class T>
struct logits_call {
  matrix<T> student, teacher;
  logits_options options;
  std::vector<T> lse_s = std::vector<T>(static_cast<std::size_t>(student.rows())), lse_t = lse_s;

  std::vector<T> weights{};  ///< of rows; none: all rows count alike

  double forward(executor_ref ex = {}) {
    return logits_loss<T>::forward(student, teacher, options, lse_s, lse_t, ex, weights_view());
  }
  row_view<const T> weights_view() const {
    return weights.empty() ? row_view<const T>{} : row_view<const T>(weights);
  }
  matrix<T> gradient(T scale, std::size_t columns, executor_ref ex = {}) {
    matrix<T> all = matrix<T>::Zero(student.rows(), student.cols());
    const matrix_view<T> view = all;
    for (std::size_t first = 0; first < view.cols; first += columns)
      logits_loss<T>::backward_columns(student, teacher, options, lse_s, lse_t, scale, first,
                                       view.col_block(first, std::min(columns, view.cols - first)),
                                       ex, weights_view());
    return all;
  }
};

}  // namespace

TEST_CASE("logits_loss's gradient agrees with central differences in blocks of any width") {
  const logits_options options =
      GENERATE(logits_options{}, logits_options{2, true}, logits_options{2, true, true});
  const std::size_t columns = GENERATE(1u, 16u, 37u);
  logits_call<double> c{random_matrix<double>(5, 37, 1, 3.0), random_matrix<double>(5, 37, 2, 3.0),
                        options};
  const auto loss = [&] { return 0.5 * c.forward(); };
  CHECK(loss() > 0);  // this call also saves what the gradient needs
  check_gradient(loss, c.student, c.gradient(0.5, columns));
}

TEST_CASE("rows of logits_loss may have weights") {
  logits_call<double> all{
      random_matrix<double>(3, 37, 1), random_matrix<double>(3, 37, 2), {2, true}};
  all.weights = {0.5, 0, 2};
  double expected = 0;
  for (Eigen::Index i : {0, 2}) {
    logits_call<double> one{all.student.row(i), all.teacher.row(i), all.options};
    expected += all.weights[static_cast<std::size_t>(i)] * one.forward();
  }
  const auto loss = [&] { return 0.5 * all.forward(); };
  CHECK(all.forward() == Approx(expected));
  check_gradient(loss, all.student, all.gradient(0.5, 16));
}

TEMPLATE_TEST_CASE("logits_loss equals PyTorch in both conventions", "", float, double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 1e-6 : 1e-13;
  using row = std::tuple<const char*, logits_options, double, std::span<const double>>;
  const auto [name, options, loss, gradient] = GENERATE(
      values<row>({{"paper", {}, logits_paper::loss, logits_paper::gradient},
                   {"code", {2, true}, logits_code::loss, logits_code::gradient},
                   {"reverse", {2, false, true}, logits_reverse::loss, logits_reverse::gradient}}));
  INFO(name);
  logits_call<T> c{wave<T>(5, 11, 1, 4), wave<T>(5, 11, 2, 4), options};
  CHECK(c.forward() == Approx(loss).epsilon(tolerance));
  CHECK(distance(c.gradient(1, 4), gradient) < tolerance);
}

TEST_CASE("logits_loss is the mean over rows") {
  logits_call<double> c{
      random_matrix<double>(1, 11, 1), random_matrix<double>(1, 11, 2), {3, false}};
  logits_call<double> twice{c.student.replicate(2, 1), c.teacher.replicate(2, 1), {3, false}};
  CHECK(twice.forward() == Approx(c.forward()));
}

TEST_CASE("logits_loss is multiplied by tau squared if the options say so") {
  logits_call<double> c{
      random_matrix<double>(1, 11, 1), random_matrix<double>(1, 11, 2), {3, false}};
  const double paper = c.forward();
  c.options.tau_squared = true;
  CHECK(c.forward() == Approx(9 * paper));
}

TEST_CASE("logits_loss is 0 for equal distributions") {
  logits_call<double> c{random_matrix<double>(1, 11, 1), random_matrix<double>(1, 11, 1), {}};
  CHECK(c.forward() == 0);
}

TEST_CASE("logits_loss in float keeps its digits for close distributions") {
  const matrix<double> teacher = random_matrix<double>(64, 500, 1),
                       student = teacher + random_matrix<double>(64, 500, 2, 1e-3);
  logits_call<double> exact{
      student.cast<float>().cast<double>(), teacher.cast<float>().cast<double>(), {}};
  logits_call<float> c{student.cast<float>(), teacher.cast<float>(), {}};
  CHECK(c.forward() == Approx(exact.forward()).epsilon(1e-2));
}

TEST_CASE("logits_loss gives the same bits on any number of threads") {
  logits_call<float> a{random_matrix<float>(301, 500, 1), random_matrix<float>(301, 500, 2), {}},
      b = a;
  thread_pool pool(3);
  CHECK(a.forward() == b.forward(pool));
  CHECK(a.lse_s == b.lse_s);
  CHECK(a.gradient(1, 128) == b.gradient(1, 128, pool));
}

TEST_CASE("logits_loss refuses a temperature of 0") {
  logits_call<float> c{random_matrix<float>(3, 8, 1), random_matrix<float>(3, 8, 2), {0, false}};
  CHECK_THROWS_AS(c.forward(), config_error);
}

TEST_CASE("logits_loss refuses a teacher of another vocabulary") {
  logits_call<float> c{random_matrix<float>(3, 8, 1), random_matrix<float>(3, 9, 2), {}};
  CHECK_THROWS_AS(c.forward(), shape_error);
}

TEST_CASE("logits_loss refuses saved values of another size") {
  logits_call<float> c{random_matrix<float>(3, 8, 1), random_matrix<float>(3, 8, 2), {}};
  c.lse_t.pop_back();
  CHECK_THROWS_AS(c.forward(), shape_error);
}

TEST_CASE("in reverse, a token that only the student finds possible costs without end") {
  constexpr double never = -std::numeric_limits<double>::infinity();
  logits_call<double> c{
      random_matrix<double>(2, 37, 1), random_matrix<double>(2, 37, 2), {2, false, true}};
  c.teacher(0, 5) = never;
  CHECK(c.forward() == -never);
  c.student(0, 5) = never;
  CHECK(std::isfinite(c.forward()));
  CHECK(c.gradient(1, 16)(0, 5) == 0);
}

TEST_CASE("a teacher's logit of -infinity adds nothing") {
  constexpr double never = -std::numeric_limits<double>::infinity();
  logits_call<double> c{
      random_matrix<double>(2, 37, 1), random_matrix<double>(2, 37, 2), {2, true}};
  c.teacher(0, 5) = never;
  c.teacher(1, 36) = never;
  logits_call<double> near = c;
  near.teacher(0, 5) = near.teacher(1, 36) = -1e6;
  CHECK(c.forward() == Approx(near.forward()));
  CHECK(c.gradient(1, 16) == near.gradient(1, 16));
  c.student(0, 5) = never;  // student and teacher agree that this token never comes
  CHECK(std::isfinite(c.forward()));
  CHECK(c.gradient(1, 16)(0, 5) == 0);
}
