#include "tern/nn/cross_entropy.hpp"

#include <vector>

#include "../gradient_check.hpp"
#include "../oracle/losses.inc"
#include "../oracle/wave.hpp"
#include "tern/core/thread_pool.hpp"

using namespace tern;
using namespace tern_test;

namespace {

/// The whole gradient, computed in blocks of `columns`.
template <class T>
matrix<T> gradient(const matrix<T>& logits, const std::vector<std::int32_t>& targets,
                   std::vector<T>& lse, T scale, std::size_t columns, executor_ref ex = {}) {
  matrix<T> all = matrix<T>::Zero(logits.rows(), logits.cols());
  const matrix_view<T> view = all;
  for (std::size_t first = 0; first < view.cols; first += columns)
    cross_entropy<T>::backward_columns(logits, targets, lse, scale, first,
                                       view.col_block(first, std::min(columns, view.cols - first)),
                                       ex);
  return all;
}

}  // namespace

TEST_CASE("cross_entropy's gradient agrees with central differences in blocks of any width") {
  matrix<double> logits = random_matrix<double>(7, 23, 1, 2.0);
  const std::vector<std::int32_t> targets{3, -100, 0, 22, 9, -100, 3};
  std::vector<double> lse(7);
  const std::size_t columns = GENERATE(1u, 5u, 8u, 23u);
  const auto loss = [&] { return 0.25 * cross_entropy<double>::forward(logits, targets, lse); };
  loss();
  check_gradient(loss, logits, gradient(logits, targets, lse, 0.25, columns));
}

TEST_CASE("cross_entropy counts the rows that are not ignored") {
  const std::vector<std::int32_t> targets{3, -100, 0, 22, 9, -100, 3};
  CHECK(cross_entropy<double>::valid_count(targets) == 5);
}

TEMPLATE_TEST_CASE("cross_entropy equals PyTorch", "", float, double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 1e-6 : 1e-13;
  const matrix<T> logits = wave<T>(5, 11, 1, 4);
  const std::vector<std::int32_t> targets{3, -100, 0, 10, 3};
  std::vector<T> lse(5);
  CHECK(cross_entropy<T>::forward(logits, targets, lse) ==
        Approx(cross_entropy_case::loss).epsilon(tolerance));
  CHECK(distance(gradient(logits, targets, lse, T(1), 4), cross_entropy_case::gradient) <
        tolerance);
}

TEMPLATE_TEST_CASE("cross_entropy takes column-major logits and a strided lse", "", float, double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 1e-6 : 1e-13;
  const Eigen::Matrix<T, -1, -1> by_column = wave<T>(5, 11, 1, 4);
  const std::vector<std::int32_t> targets{3, -100, 0, 10, 3};
  matrix<T> wide = matrix<T>::Zero(5, 3), g = matrix<T>::Zero(5, 11);
  const row_view<T> lse = matrix_view<T>(wide).col(1);
  CHECK(cross_entropy<T>::forward(by_column, targets, lse) ==
        Approx(cross_entropy_case::loss).epsilon(tolerance));
  cross_entropy<T>::backward_columns(by_column, targets, lse, T(1), 0, g);
  CHECK(distance(g, cross_entropy_case::gradient) < tolerance);
}

TEST_CASE("cross_entropy does not overflow") {
  const matrix<float> logits{{1e4f, -1e4f, 0}, {-3e38f, 3e38f, 0}};
  std::vector<float> lse(2);
  CHECK(cross_entropy<float>::forward(logits, std::vector<std::int32_t>{0, 1}, lse) == 0);
  CHECK(gradient(logits, {0, 1}, lse, 1.0f, 3).isZero(0));
}

TEST_CASE("cross_entropy and its gradient are 0 where all rows are ignored") {
  const matrix<double> logits = random_matrix<double>(2, 9, 2);
  const std::vector<std::int32_t> none{-100, -100};
  std::vector<double> lse(2);
  CHECK(cross_entropy<double>::forward(logits, none, lse) == 0);
  CHECK(gradient(logits, none, lse, 1.0, 9).isZero(0));
}

TEST_CASE("cross_entropy's gradient is 0 in an ignored row") {
  const matrix<double> logits = random_matrix<double>(2, 9, 2);
  const std::vector<std::int32_t> one{-100, 4};
  std::vector<double> lse(2);
  cross_entropy<double>::forward(logits, one, lse);
  CHECK(gradient(logits, one, lse, 1.0, 9).row(0).isZero(0));
}

TEST_CASE("cross_entropy adds its gradient to what is there") {
  const matrix<double> logits = random_matrix<double>(2, 9, 2);
  const std::vector<std::int32_t> one{-100, 4};
  std::vector<double> lse(2);
  cross_entropy<double>::forward(logits, one, lse);
  matrix<double> sum = matrix<double>::Ones(2, 9);
  cross_entropy<double>::backward_columns(logits, one, lse, 1.0, 0, sum);
  CHECK((sum - gradient(logits, one, lse, 1.0, 9)).isOnes(1e-15));
}

TEST_CASE("cross_entropy gives the same bits on any number of threads") {
  const matrix<float> logits = random_matrix<float>(301, 700, 3);
  std::vector<std::int32_t> targets(301);
  for (std::size_t i = 0; i < 301; ++i) targets[i] = static_cast<std::int32_t>(i);
  std::vector<float> a(301), b(301);
  thread_pool pool(3);
  CHECK(cross_entropy<float>::forward(logits, targets, a) ==
        cross_entropy<float>::forward(logits, targets, b, pool));
  CHECK(a == b);
  CHECK(gradient(logits, targets, a, 1.0f, 256) == gradient(logits, targets, a, 1.0f, 256, pool));
}

TEST_CASE("cross_entropy refuses targets outside the vocabulary") {
  const matrix<float> logits = random_matrix<float>(2, 5, 4);
  std::vector<float> lse(2);
  matrix<float> block = matrix<float>::Zero(2, 4);
  const std::vector<std::int32_t> targets{0, GENERATE(5, -1)};
  using op = cross_entropy<float>;
  CHECK_THROWS_AS(op::forward(logits, targets, lse), config_error);
  CHECK_THROWS_AS(op::backward_columns(logits, targets, lse, 1, 0, block), config_error);
}

TEST_CASE("cross_entropy refuses another number of targets than rows") {
  const matrix<float> logits = random_matrix<float>(2, 5, 4);
  std::vector<float> lse(2);
  CHECK_THROWS_AS(cross_entropy<float>::forward(logits, std::vector<std::int32_t>{0}, lse),
                  shape_error);
}

TEST_CASE("cross_entropy refuses saved values of another size") {
  const matrix<float> logits = random_matrix<float>(2, 5, 4);
  std::vector<float> short_lse(1);
  CHECK_THROWS_AS(cross_entropy<float>::forward(logits, std::vector<std::int32_t>{0, 4}, short_lse),
                  shape_error);
}

TEST_CASE("cross_entropy refuses a block beyond the last column") {
  const matrix<float> logits = random_matrix<float>(2, 5, 4);
  std::vector<float> lse(2);
  matrix<float> block = matrix<float>::Zero(2, 4);
  CHECK_THROWS_AS(cross_entropy<float>::backward_columns(logits, std::vector<std::int32_t>{0, 4},
                                                         lse, 1, 2, block),
                  shape_error);
}
