// The Cholesky factor multiplies to the matrix, and its inverses undo it.
#include "tern/linalg/cholesky.hpp"

#include <limits>

#include "tern/core/thread_pool.hpp"
#include "tests/gradient_check.hpp"

using namespace tern;
using tern_test::random_matrix;

namespace {

/// A symmetric matrix, all of whose eigenvalues are at least 1.
matrix<double> positive_definite(std::size_t k) {
  const matrix<double> x = random_matrix<double>(k + 5, k, 1);
  return x.transpose() * x / static_cast<double>(k + 5) +
         matrix<double>::Identity(x.cols(), x.cols());
}

matrix<double> factor_of(matrix<double> a, executor_ref ex = {}) {
  REQUIRE(cholesky<double>(a, ex));
  return a.triangularView<Eigen::Lower>();
}

double largest(const matrix<double>& m) { return m.size() == 0 ? 0 : m.cwiseAbs().maxCoeff(); }

}  // namespace

TEST_CASE("the Cholesky factor multiplies to the matrix") {
  const std::size_t k = GENERATE(0u, 1u, 2u, 63u, 64u, 65u, 200u, 400u);
  INFO(k);
  const matrix<double> a = positive_definite(k), l = factor_of(a);
  CHECK(largest(l * l.transpose() - a) < 1e-12);
}

TEST_CASE("cholesky reads the lower triangle alone") {
  matrix<double> a = positive_definite(130);
  const matrix<double> expected = factor_of(a);
  a.triangularView<Eigen::StrictlyUpper>().setConstant(std::numeric_limits<double>::quiet_NaN());
  CHECK(factor_of(a) == expected);
}

TEST_CASE("multiplying by an inverse undoes multiplying by the factor") {
  const std::size_t k = GENERATE(1u, 63u, 64u, 65u, 200u), rows = GENERATE(0u, 1u, 65u);
  INFO(rows << " x " << k);
  const matrix<double> l = factor_of(positive_definite(k)), x = random_matrix<double>(rows, k, 2);
  matrix<double> b = x * l.transpose();
  multiply_by_inverse_transposed<double>(matrix_view<const double>(l), b);
  CHECK(largest(b - x) < 1e-12);
  b = x * l;
  multiply_by_inverse<double>(matrix_view<const double>(l), b);
  CHECK(largest(b - x) < 1e-12);
}

TEST_CASE("a Cholesky factor has the same bits for any number of threads") {
  const std::size_t threads = GENERATE(2u, 3u);
  thread_pool pool(threads);
  const matrix<double> a = positive_definite(400), l = factor_of(a);
  CHECK(factor_of(a, pool) == l);
  matrix<double> serial = random_matrix<double>(150, 400, 2), parallel = serial;
  multiply_by_inverse_transposed<double>(matrix_view<const double>(l), serial);
  multiply_by_inverse<double>(matrix_view<const double>(l), serial);
  multiply_by_inverse_transposed<double>(matrix_view<const double>(l), parallel, pool);
  multiply_by_inverse<double>(matrix_view<const double>(l), parallel, pool);
  CHECK(serial == parallel);
}

TEST_CASE("cholesky reports matrices that are not positive definite") {
  const Eigen::Index at = GENERATE(0, 70, 129);
  matrix<double> a = positive_definite(130);
  SECTION("a negative pivot") { a(at, at) = -1; }
  SECTION("a zero row") { a.row(at).setZero(), a.col(at).setZero(); }
  SECTION("NaN") { a(at, at) = std::numeric_limits<double>::quiet_NaN(); }
  CHECK_FALSE(cholesky<double>(a));
}

TEST_CASE("products with inverses refuse shapes that do not fit") {
  matrix<double> a = positive_definite(9), wide = random_matrix<double>(3, 10, 2);
  const matrix_view<const double> l(a);
  CHECK_THROWS_AS(cholesky<double>(matrix_view<double>(a).col_block(0, 8)), shape_error);
  CHECK_THROWS_AS(multiply_by_inverse<double>(l, wide), shape_error);
  CHECK_THROWS_AS(multiply_by_inverse_transposed<double>(l, wide), shape_error);
}
