// Tests of RMSNorm (SubLN): values of PyTorch, gradients, any layout, any number of threads.
#include "tern/nn/rms_norm.hpp"

#include <cmath>
#include <type_traits>
#include <vector>

#include "tern/core/executor.hpp"
#include "tern/core/thread_pool.hpp"
#include "tests/gradient_check.hpp"
#include "tests/oracle/nn.inc"

using tern_test::check_gradient;
using tern_test::check_row_gradient;
using tern_test::largest_difference;
using tern_test::random_matrix;
using tern_test::values;
using tern_test::weighted_sum;
using rms_norm_op = tern::rms_norm<double>;

static_assert(std::is_same_v<tern::sub_ln<float>, tern::rms_norm<float>>);

TEST_CASE("rms_norm equals Hugging Face's Qwen3RMSNorm", "[rms_norm]") {
  using namespace rms_norm_values;
  tern::matrix<float> result(3, 10), input_gradient = tern::matrix<float>::Zero(3, 10);
  std::vector<float> inv(3), gain_gradient(10);
  const auto in = values<float>(x, 3, 10), up = values<float>(dy, 3, 10);
  const auto g = values<float>(gain, 1, 10);
  const auto gain_row = tern::matrix_view<const float>(g).row(0);
  tern::rms_norm<float>::forward(in, gain_row, 1e-6f, result, inv);
  tern::rms_norm<float>::backward(up, in, gain_row, inv, input_gradient, gain_gradient);
  CHECK(largest_difference(result, y) < 1e-6);
  CHECK(largest_difference(input_gradient, dx) < 2e-6);
  CHECK(largest_difference(gain_gradient, dgain) < 2e-6);
}

TEST_CASE("rms_norm's gradients agree with central differences", "[rms_norm][gradient]") {
  auto x = random_matrix<double>(4, 13, 1);
  auto gain = random_matrix<double>(1, 13, 2);
  const auto dy = random_matrix<double>(4, 13, 3);
  const bool with_gain = GENERATE(true, false);
  const auto gain_row =
      with_gain ? tern::matrix_view<double>(gain).row(0) : tern::row_view<double>();
  std::vector<double> inv(4), dgain(13);
  const auto loss = [&] {
    tern::matrix<double> y(4, 13);
    rms_norm_op::forward(x, gain_row, 1e-3, y, inv);
    return weighted_sum<double>(y, dy);
  };
  loss();
  tern::matrix<double> dx = tern::matrix<double>::Zero(4, 13);
  rms_norm_op::backward(dy, x, gain_row, inv, dx,
                        with_gain ? tern::row_view<double>(dgain) : tern::row_view<double>());
  check_gradient(loss, x, dx);
  if (with_gain) check_row_gradient(loss, gain_row, dgain);
}

TEST_CASE("rms_norm takes any layout, works in place and needs no saved values", "[rms_norm]") {
  const auto x = random_matrix<double>(6, 37, 4), gain = random_matrix<double>(1, 37, 5);
  const tern::row_view<const double> g = tern::matrix_view<const double>(gain).row(0);
  tern::matrix<double> y(6, 37);
  std::vector<double> inv(6);
  rms_norm_op::forward(x, g, 1e-6, y, inv);
  for (int r = 0; r < 6; ++r) {
    const double rms = std::sqrt(x.row(r).squaredNorm() / 37 + 1e-6);
    CHECK(inv[static_cast<std::size_t>(r)] == Approx(1 / rms).epsilon(1e-14));
    for (int c = 0; c < 37; ++c)
      CHECK(y(r, c) == Approx(x(r, c) / rms * gain(0, c)).epsilon(1e-14));
  }
  const Eigen::MatrixXd columns = x;
  Eigen::MatrixXd y_columns(6, 37);
  rms_norm_op::forward(columns, g, 1e-6, y_columns, {});
  CHECK((y_columns - y).cwiseAbs().maxCoeff() < 1e-13);
  tern::matrix<double> in_place = x;
  rms_norm_op::forward(in_place, g, 1e-6, in_place, {});
  CHECK(in_place == y);
}

TEST_CASE("rms_norm is bit-identical for any number of threads", "[rms_norm][threads]") {
  const auto x = random_matrix<float>(400, 200, 1), gain = random_matrix<float>(1, 200, 2),
             dy = random_matrix<float>(400, 200, 3);
  const auto g = tern::matrix_view<const float>(gain).row(0);
  const auto results = [&](tern::executor_ref ex) {
    tern::matrix<float> y(400, 200), dx = tern::matrix<float>::Zero(400, 200),
                                     dg = tern::matrix<float>::Zero(1, 200);
    std::vector<float> inv(400);
    tern::rms_norm<float>::forward(x, g, 1e-6f, y, inv, ex);
    tern::rms_norm<float>::backward(dy, x, g, inv, dx, tern::matrix_view<float>(dg).row(0), ex);
    return std::vector{y, dx, dg};
  };
  const auto serial = results({});
  for (const std::size_t threads : {1u, 2u, 3u}) {
    tern::thread_pool pool(threads);
    CHECK(results(pool) == serial);
  }
}

TEST_CASE("rms_norm of numbers whose squares overflow has a finite result", "[rms_norm]") {
  tern::matrix<float> x(2, 6), y(2, 6);
  for (int i = 0; i < 6; ++i) x(0, i) = x(1, i) = static_cast<float>(i - 2);
  x.row(1) *= 1e30f;
  std::vector<float> inv(2);
  tern::rms_norm<float>::forward(x, {}, 0.0f, y, inv);
  for (int i = 0; i < 6; ++i) CHECK(y(1, i) == Approx(y(0, i)));
  CHECK(inv[1] == Approx(inv[0] * 1e-30f));
}
