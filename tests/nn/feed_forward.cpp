// Tests of gated activations: values of PyTorch, gradients, extreme inputs, any layout, any number
// of threads.
#include "tern/nn/feed_forward.hpp"

#include <cmath>
#include <numbers>
#include <vector>

#include "tern/core/executor.hpp"
#include "tern/core/thread_pool.hpp"
#include "tests/gradient_check.hpp"
#include "tests/oracle/nn.inc"

using tern::activation;
using tern_test::largest_difference;
using tern_test::random_matrix;
using tern_test::values;
using activation_op = tern::gated_activation<double>;

namespace {

double reference(activation a, double g) {
  switch (a) {
    case activation::silu:
      return g / (1 + std::exp(-g));
    case activation::gelu_tanh:
      return 0.5 * g *
             (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (g + 0.044715 * g * g * g)));
    case activation::gelu:
      return 0.5 * g * (1 + std::erf(g / std::numbers::sqrt2));
    case activation::relu2:
      return g > 0 ? g * g : 0;
  }
  return 0;
}

activation any_activation() {
  return GENERATE(activation::silu, activation::gelu_tanh, activation::gelu, activation::relu2);
}

}  // namespace

TEST_CASE("gated_activation equals its formula in any layout", "[feed_forward]") {
  const activation a = any_activation();
  const auto gate = random_matrix<double>(5, 21, 1, 3), up = random_matrix<double>(5, 21, 2);
  tern::matrix<double> y(5, 21);
  activation_op::forward(a, gate, up, y);
  for (int r = 0; r < 5; ++r)
    for (int c = 0; c < 21; ++c)
      CHECK(y(r, c) == Approx(reference(a, gate(r, c)) * up(r, c)).epsilon(1e-12).margin(1e-14));
  const Eigen::MatrixXd gate_columns = gate, up_columns = up;
  Eigen::MatrixXd y_columns(5, 21);
  activation_op::forward(a, gate_columns, up_columns, y_columns);
  CHECK((y - y_columns).cwiseAbs().maxCoeff() < 1e-14);
}

TEST_CASE("gated_activation and its gradients equal PyTorch", "[feed_forward]") {
  namespace v = activations_values;
  const auto gate = values<double>(v::gate, 2, 12), up = values<double>(v::up, 2, 12),
             dy = values<double>(v::dy, 2, 12);
  const auto check = [&](activation a, const auto& y, const auto& dgate, const auto& dup) {
    CAPTURE(static_cast<int>(a));
    tern::matrix<double> out(2, 12), gate_gradient = tern::matrix<double>::Zero(2, 12),
                                     up_gradient = gate_gradient;
    activation_op::forward(a, gate, up, out);
    activation_op::backward(a, dy, gate, up, gate_gradient, up_gradient);
    CHECK(largest_difference(out, y) < 1e-13);
    CHECK(largest_difference(gate_gradient, dgate) < 1e-13);
    CHECK(largest_difference(up_gradient, dup) < 1e-13);
  };
  check(activation::silu, v::silu_y, v::silu_dgate, v::silu_dup);
  check(activation::gelu_tanh, v::gelu_tanh_y, v::gelu_tanh_dgate, v::gelu_tanh_dup);
  check(activation::gelu, v::gelu_y, v::gelu_dgate, v::gelu_dup);
  check(activation::relu2, v::relu2_y, v::relu2_dgate, v::relu2_dup);
}

TEST_CASE("gated_activation's gradients agree with central differences",
          "[feed_forward][gradient]") {
  const activation a = any_activation();
  auto gate = random_matrix<double>(4, 11, 1, 2), up = random_matrix<double>(4, 11, 2);
  CAPTURE(static_cast<int>(a));
  // No difference may cross the kink of relu2.
  for (double& g : gate.reshaped()) g += g < 0 ? -0.01 : 0.01;
  const auto dy = random_matrix<double>(4, 11, 3);
  const auto loss = [&] {
    tern::matrix<double> y(4, 11);
    activation_op::forward(a, gate, up, y);
    return tern_test::weighted_sum<double>(y, dy);
  };
  tern::matrix<double> dgate = tern::matrix<double>::Zero(4, 11), dup = dgate;
  activation_op::backward(a, dy, gate, up, dgate, dup);
  tern_test::check_gradient(loss, gate, dgate);
  tern_test::check_gradient(loss, up, dup);
  tern::matrix<double> dgate_alone = tern::matrix<double>::Zero(4, 11), dup_alone = dgate_alone;
  activation_op::backward(a, dy, gate, up, dgate_alone, {});
  activation_op::backward(a, dy, gate, up, {}, dup_alone);
  CHECK((dgate_alone - dgate).cwiseAbs().maxCoeff() < 1e-14);
  CHECK((dup_alone - dup).cwiseAbs().maxCoeff() < 1e-14);
}

TEST_CASE("gated_activation is finite for extreme inputs", "[feed_forward]") {
  const activation a = GENERATE(activation::silu, activation::gelu_tanh, activation::gelu);
  tern::matrix<float> gate(1, 4), up = tern::matrix<float>::Ones(1, 4), y(1, 4), dy = up,
                                  dgate = tern::matrix<float>::Zero(1, 4);
  gate << -1e4f, -100.f, 100.f, 1e4f;
  tern::gated_activation<float>::forward(a, gate, up, y);
  tern::gated_activation<float>::backward(a, dy, gate, up, dgate, {});
  CHECK(std::abs(y(0, 0)) < 1e-30f);
  CHECK(std::abs(y(0, 1)) < 1e-30f);
  CHECK(y(0, 2) == 100.f);
  CHECK(y(0, 3) == 1e4f);
  CHECK(std::abs(dgate(0, 0)) < 1e-30f);
  CHECK(std::abs(dgate(0, 1)) < 1e-30f);
  CHECK(dgate(0, 2) == 1.f);
  CHECK(dgate(0, 3) == 1.f);
}

TEST_CASE("gated_activation is bit-identical for any number of threads",
          "[feed_forward][threads]") {
  const activation a = any_activation();
  const auto gate = random_matrix<float>(300, 250, 1), up = random_matrix<float>(300, 250, 2),
             dy = random_matrix<float>(300, 250, 3);
  const auto results = [&](tern::executor_ref ex) {
    tern::matrix<float> y(300, 250), dgate = tern::matrix<float>::Zero(300, 250), dup = dgate;
    tern::gated_activation<float>::forward(a, gate, up, y, ex);
    tern::gated_activation<float>::backward(a, dy, gate, up, dgate, dup, ex);
    return std::vector{y, dgate, dup};
  };
  const auto serial = results({});
  for (const std::size_t threads : {1u, 2u, 3u}) {
    tern::thread_pool pool(threads);
    CHECK(results(pool) == serial);
  }
}
