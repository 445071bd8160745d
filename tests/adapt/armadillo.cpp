#include "tests/message.hpp"
#include "tests/view_check.hpp"

#if __has_include(<armadillo>)
// Only the headers of Armadillo are used, not its library.
#  define ARMA_DONT_USE_WRAPPER
#  define ARMA_DONT_USE_BLAS
#  define ARMA_DONT_USE_LAPACK
#  include "tern/adapt/armadillo.hpp"
#  include "tern/nn/linear.hpp"

using tern::matrix_view;
using tern_test::check_values;
using tern_test::fill;

static_assert(tern::matrix_owner<arma::mat> && tern::matrix_owner<arma::fmat>);
static_assert(tern::matrix_like<arma::frowvec> && tern::matrix_like<arma::fvec>);
static_assert(tern::matrix_like<arma::fmat::fixed<4, 6>>);
static_assert(!std::convertible_to<const arma::fmat&, matrix_view<float>>);
static_assert(!std::convertible_to<arma::fmat&, matrix_view<double>>);
static_assert(!std::convertible_to<const arma::subview<float>, matrix_view<float>>);
static_assert(!tern::matrix_like<arma::fcube> && !tern::matrix_like<arma::sp_fmat>);
static_assert(!tern::matrix_like<decltype(std::declval<arma::fmat&>().t())>);

TEMPLATE_TEST_CASE("Armadillo's matrices and submatrices are seen in place", "[armadillo]",
                   arma::fmat, arma::mat) {
  using T = typename TestType::elem_type;
  auto m = tern::tensor_traits<TestType>::make(4, 6);
  CHECK(arma::accu(arma::abs(m)) == 0);
  fill<T>(m);
  check_values<T>(std::as_const(m), 4, 6);
  CHECK(m(3, 5) == 35);
  CHECK(m.memptr()[4 * 5 + 3] == 35);
  check_values<T>(m.submat(1, 2, 3, 5), 3, 4, 12);
  check_values<T>(m.rows(1, 2), 2, 6, 10);
  check_values<T>(m.row(2), 1, 6, 20);
  check_values<T>(m.col(5), 4, 1, 5);
  check_values<T>(std::as_const(m).tail_cols(2), 4, 2, 4);
  tern_test::check_used<T>(m.head_rows(3));
  const matrix_view<T> corner = m.submat(0, 0, 1, 1);
  corner(1, 1) = -7;
  CHECK(m(1, 1) == -7);
  const arma::Row<T> row{0, 1, 2};
  check_values<T>(row, 1, 3);
}

TEST_CASE("Armadillo's column-major matrices multiply as they are", "[armadillo]") {
  const arma::fmat x{{2, 3}, {0, 1}, {1, 1}}, w{{1, 10}, {0, 1}};
  arma::fmat y(3, 2);
  tern::linear<float>::forward(x, w, {}, y);
  CHECK(arma::approx_equal(y, arma::fmat(x * w.t()), "absdiff", 0));
}
#else
TEST_CASE("Armadillo") { WARN("skipped: Armadillo (package libarmadillo-dev) is missing"); }
#endif
