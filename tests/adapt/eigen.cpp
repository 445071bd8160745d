// Tests of Eigen in both storage orders: expressions with memory are seen in place, others do not
// convert.
#include "tern/adapt/eigen.hpp"

#include <utility>
#include <vector>

#include "tern/nn/linear.hpp"
#include "tests/view_check.hpp"

using tern::matrix_view;
using tern_test::check_used;
using tern_test::check_values;
using tern_test::fill;
using columns = Eigen::MatrixXf;
using strides = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;

template <class M>
concept viewed = std::convertible_to<M, matrix_view<const float>>;
template <class M>
concept viewed_mutable = std::convertible_to<M, matrix_view<float>>;

static_assert(tern::matrix_owner<Eigen::ArrayXXf> && tern::matrix_owner<Eigen::VectorXf>);
static_assert(viewed_mutable<Eigen::Ref<columns>&> && viewed<Eigen::Ref<const columns>&>);
static_assert(!viewed_mutable<Eigen::Ref<const columns>&>);
static_assert(!viewed_mutable<decltype(std::declval<const columns&>().transpose())>);
static_assert(!viewed_mutable<decltype(std::declval<const columns&>().row(0))>);
static_assert(!viewed<decltype(std::declval<columns&>() + std::declval<columns&>())>);
static_assert(!viewed<decltype(std::declval<columns&>() * std::declval<columns&>())>);
static_assert(!viewed<decltype(std::declval<columns&>().triangularView<Eigen::Lower>())>);

TEMPLATE_TEST_CASE("Eigen maps, blocks, refs and transposes are seen in place", "[eigen]",
                   tern::matrix<float>, columns, Eigen::ArrayXXf, tern::matrix<double>,
                   Eigen::MatrixXd) {
  using T = typename TestType::Scalar;
  TestType m(4, 6);
  fill<T>(m);
  check_values<T>(m.block(1, 2, 3, 4), 3, 4, 12);
  check_values<T>(m.row(2), 1, 6, 20);
  check_values<T>(m.col(5), 4, 1, 5);
  check_values<T>(m.transpose().transpose(), 4, 6);
  check_values<T>(m.transpose().block(1, 2, 1, 1), 1, 1, 21);
  check_values<T>(Eigen::Map<const TestType>(m.data(), 4, 6), 4, 6);
  Eigen::Ref<TestType> ref = m;
  check_values<T>(ref, 4, 6);
  check_used<T>(ref);
  const matrix_view<T> corner = m.topLeftCorner(2, 2);
  corner(1, 1) = -7;
  CHECK(m(1, 1) == -7);
}

TEST_CASE("maps with both strides are seen in place", "[eigen]") {
  std::vector<float> memory(200);
  Eigen::Map<columns, 0, strides> by_columns(memory.data(), 4, 6, strides(30, 5));
  fill(by_columns);
  check_values(by_columns, 4, 6);
  CHECK(memory[30 * 5 + 5 * 3] == 35);
  Eigen::Map<tern::matrix<float>, 0, strides> by_rows(memory.data(), 4, 6, strides(40, 3));
  fill(by_rows);
  check_values(by_rows, 4, 6);
  check_used(by_rows);
  CHECK(memory[40 * 3 + 3 * 5] == 35);
}

TEST_CASE("a vector is a column or a row, and a diagonal is a column", "[eigen]") {
  columns m(5, 5);
  fill(m);
  const Eigen::VectorXf column = m.col(0);
  const Eigen::RowVectorXf row = m.row(0);
  CHECK(matrix_view<const float>(column).rows == 5);
  CHECK(matrix_view<const float>(column)(3, 0) == 30);
  CHECK(matrix_view<const float>(row).cols == 5);
  CHECK(matrix_view<const float>(row)(0, 3) == 3);
  const matrix_view<float> diagonal = m.diagonal();
  CHECK((diagonal.rows == 5 && diagonal.cols == 1 && diagonal(3, 0) == 33));
}

TEST_CASE("column-major operands give the right product or a clear error", "[eigen]") {
  const columns x = columns::Random(5, 7), w = columns::Random(3, 7);
  columns y(5, 3);
  tern::linear<float>::forward(x, w, {}, y);
  CHECK((y - x * w.transpose()).norm() < 1e-5f);

  // Neither its rows nor its columns are contiguous.
  const Eigen::Map<const columns, 0, strides> sparse(x.data(), 2, 3, strides(4, 2));
  const columns v = columns::Random(3, 3);
  y.resize(2, 3);
  CHECK_THROWS_AS(tern::linear<float>::forward(sparse, v, {}, y), tern::shape_error);
}
