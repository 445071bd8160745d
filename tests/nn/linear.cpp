// Tests of the linear layer: plain loops, gradients, any layout, any number of threads.
#include "tern/nn/linear.hpp"

#include <vector>

#include "tern/core/executor.hpp"
#include "tern/core/thread_pool.hpp"
#include "tests/gradient_check.hpp"

using tern_test::check_gradient;
using tern_test::check_row_gradient;
using tern_test::random_matrix;
using tern_test::weighted_sum;
using linear_op = tern::linear<double>;

TEST_CASE("linear computes x w^T + b for row- and column-major operands", "[linear]") {
  const auto x = random_matrix<double>(5, 7, 1), w = random_matrix<double>(3, 7, 2);
  const std::vector<double> b{0.5, -1, 2};
  tern::matrix<double> y(5, 3);
  linear_op::forward(x, w, b, y);
  for (int n = 0; n < 5; ++n)
    for (int m = 0; m < 3; ++m) {
      double expected = b[static_cast<std::size_t>(m)];
      for (int k = 0; k < 7; ++k) expected += x(n, k) * w(m, k);
      CHECK(y(n, m) == Approx(expected).epsilon(1e-13));
    }
  const Eigen::MatrixXd x_columns = x, w_columns = w;
  Eigen::MatrixXd y_columns(5, 3);
  linear_op::forward(x_columns, w_columns, b, y_columns);
  CHECK((y - y_columns).cwiseAbs().maxCoeff() < 1e-13);
}

TEST_CASE("linear's gradients agree with central differences", "[linear][gradient]") {
  auto x = random_matrix<double>(5, 7, 1), w = random_matrix<double>(3, 7, 2);
  std::vector<double> b{0.5, -1, 2};
  const auto dy = random_matrix<double>(5, 3, 3);
  const auto loss = [&] {
    tern::matrix<double> y(5, 3);
    linear_op::forward(x, w, b, y);
    return weighted_sum<double>(y, dy);
  };
  tern::matrix<double> dx = tern::matrix<double>::Zero(5, 7), dw = tern::matrix<double>::Zero(3, 7);
  std::vector<double> db(3);
  linear_op::backward(dy, x, w, dx, dw, db);
  check_gradient(loss, x, dx);
  check_gradient(loss, w, dw);
  check_row_gradient(loss, b, db);

  SECTION("accumulate") {
    const tern::matrix<double> dx_once = dx, dw_once = dw;
    const std::vector<double> db_once = db;
    linear_op::backward(dy, x, w, dx, dw, db);
    CHECK((dx - 2 * dx_once).cwiseAbs().maxCoeff() < 1e-12);
    CHECK((dw - 2 * dw_once).cwiseAbs().maxCoeff() < 1e-12);
    for (std::size_t i = 0; i < db.size(); ++i) CHECK(db[i] == Approx(2 * db_once[i]));
  }
}

TEST_CASE("linear is bit-identical for any number of threads", "[linear][threads]") {
  const auto x = random_matrix<float>(300, 190, 1), w = random_matrix<float>(270, 190, 2),
             dy = random_matrix<float>(300, 270, 3);
  const std::vector<float> b(270, 0.1f);
  const auto results = [&](tern::executor_ref ex) {
    tern::matrix<float> y(300, 270), dx = tern::matrix<float>::Zero(300, 190),
                                     dw = tern::matrix<float>::Zero(270, 190), db(1, 270);
    db.setZero();
    tern::linear<float>::forward(x, w, b, y, ex);
    tern::linear<float>::backward(dy, x, w, dx, dw, tern::matrix_view<float>(db).row(0), ex);
    return std::vector{y, dx, dw, db};
  };
  const auto serial = results({});
  for (const std::size_t threads : {1u, 2u, 3u}) {
    tern::thread_pool pool(threads);
    CHECK(results(pool) == serial);
  }
}

TEST_CASE("linear names the operand that does not fit", "[linear]") {
  tern::matrix<double> x(5, 7), w(3, 6), y(5, 3);
  CHECK_THROWS_AS(linear_op::forward(x, w, {}, y), tern::shape_error);
}
