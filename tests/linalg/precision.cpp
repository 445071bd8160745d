// The precision of products of floats, whichever unit computes them: their errors are like those of
// fused multiply-adds in fp32, also where operands are badly scaled or cancel each other. And
// products with codes.
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "tern/core/thread_pool.hpp"
#include "tern/linalg/scaled_codes.hpp"
#include "tests/gradient_check.hpp"

using tern::matrix_view;
using tern_test::random_matrix;

namespace {

constexpr std::size_t c_rows = 150, a_cols = 333, c_cols = 141;

/// The largest error of an element, relative to the sum of the magnitudes of its terms.
template <class A, class B>
double error_of(const tern::matrix<float>& c, const A& a, const B& b) {
  const tern::matrix<double> left = a.template cast<double>(), right = b.template cast<double>();
  const tern::matrix<double> exact = left * right, sizes = left.cwiseAbs() * right.cwiseAbs();
  return ((c.cast<double>() - exact).array() / (sizes.array() + 1e-300)).abs().maxCoeff();
}

tern::matrix<float> fused(const tern::matrix<float>& a, const tern::matrix<float>& b) {
  tern::matrix<float> c = tern::matrix<float>::Zero(a.rows(), b.cols());
  for (Eigen::Index i = 0; i < c.rows(); ++i)
    for (Eigen::Index j = 0; j < c.cols(); ++j)
      for (Eigen::Index p = 0; p < a.cols(); ++p) c(i, j) = std::fma(a(i, p), b(p, j), c(i, j));
  return c;
}

std::vector<std::int8_t> codes_of(std::size_t rows, std::size_t cols, int top) {
  std::vector<std::int8_t> codes(rows * cols);
  tern::philox random(5, 0);
  for (std::int8_t& c : codes)
    c = static_cast<std::int8_t>(
        static_cast<int>(random.below(static_cast<std::uint32_t>(2 * top + 1))) - top);
  return codes;
}

}  // namespace

TEST_CASE("gemm<float> errs like fused multiply-adds", "[gemm]") {
  tern::matrix<float> a = random_matrix<float>(c_rows, a_cols, 1),
                      b = random_matrix<float>(a_cols, c_cols, 2);
  const auto check = [&] {
    tern::matrix<float> c(c_rows, c_cols), d(c_rows, c_cols);
    tern::gemm<float>(1, a, b, c);
    const Eigen::MatrixXf left = a, right = b;  // column-major
    tern::gemm<float>(1, left, right, d);
    // A rounding of each term is allowed, too: where terms cancel one after another, fused sums
    // have no error at all.
    const double allowed = 1.5 * error_of(fused(a, b), a, b) + 0x1p-23;
    CHECK(error_of(c, a, b) < allowed);
    CHECK(error_of(d, a, b) < allowed);
  };
  SECTION("random") { check(); }
  SECTION("badly scaled") {
    for (Eigen::Index p = 0; p < a.cols(); ++p) {
      a.col(p) *= std::exp2f(static_cast<float>(p % 41 - 20));
      b.row(p) *= std::exp2f(static_cast<float>(p % 37 - 18));
    }
    check();
  }
  SECTION("cancelling") {
    for (Eigen::Index p = 0; p + 1 < a.cols(); p += 2) {
      a.col(p + 1) = a.col(p) * (1 + 1e-6f);
      b.row(p + 1) = -b.row(p);
    }
    check();
  }
  SECTION("one sign") {
    a = a.cwiseAbs();
    b = b.cwiseAbs();
    check();
  }
}

TEST_CASE("gemm keeps what is not finite in its row and column", "[gemm]") {
  tern::matrix<float> a = random_matrix<float>(c_rows, a_cols, 1),
                      b = random_matrix<float>(a_cols, c_cols, 2), c(c_rows, c_cols);
  a(7, 300) = std::numeric_limits<float>::infinity();
  a(140, 2) = std::numeric_limits<float>::quiet_NaN();
  b(332, 140) = -std::numeric_limits<float>::infinity();
  tern::gemm<float>(1, a, b, c);
  for (Eigen::Index i = 0; i < c.rows(); ++i)
    for (Eigen::Index j = 0; j < c.cols(); ++j)
      if (std::isfinite(c(i, j)) != (i != 7 && i != 140 && j != 140)) {
        CAPTURE(i, j, c(i, j));
        FAIL();
      }
}

TEMPLATE_TEST_CASE("gemm multiplies codes and the scales of their blocks", "[gemm]", float,
                   double) {
  using T = TestType;
  const auto a = random_matrix<T>(c_rows, a_cols, 1), start = random_matrix<T>(c_rows, c_cols, 3);
  const std::vector<std::int8_t> trits = codes_of(a_cols, c_cols, 1),
                                 bytes = codes_of(a_cols, c_cols, 127);
  tern::arena scratch;
  const auto check = [&](const std::vector<std::int8_t>& codes, tern::extents block) {
    const tern::extents n = tern::scale_extents({a_cols, c_cols}, block);
    tern::matrix<T> scales(n.rows, n.cols);
    for (Eigen::Index i = 0; i < scales.size(); ++i)
      scales.data()[i] = T(0.01) * static_cast<T>(i % 29 + 1);
    const tern::scaled_codes<T> b{{codes.data(), a_cols, c_cols}, scales, block};
    tern::matrix<double> real(a_cols, c_cols);
    const matrix_view<double> at(real);
    for (std::size_t i = 0; i < a_cols; ++i)
      for (std::size_t j = 0; j < c_cols; ++j)
        at(i, j) =
            codes[i * c_cols + j] * static_cast<double>(b.scales(i / block.rows, j / block.cols));
    const tern::matrix<double> exact =
        start.template cast<double>() + a.template cast<double>() * real;
    tern::thread_pool pool(3);
    tern::matrix<T> c = start, d = start, e = start;
    const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic> left = a;  // column-major
    tern::gemm<T>(a, b, matrix_view<T>(c), true, scratch);
    tern::gemm<T>(left, b, matrix_view<T>(d), true, scratch, pool);
    tern::gemm<T>(a, b, matrix_view<T>(e), false, scratch);
    const double sizes = (start.template cast<double>().cwiseAbs() +
                          a.template cast<double>().cwiseAbs() * real.cwiseAbs())
                             .maxCoeff();
    const double tolerance = 4 * std::numeric_limits<T>::epsilon() * sizes;
    CHECK((c.template cast<double>() - exact).cwiseAbs().maxCoeff() < tolerance);
    CHECK((d.template cast<double>() - exact).cwiseAbs().maxCoeff() < tolerance);
    CHECK(
        (e.template cast<double>() + start.template cast<double>() - exact).cwiseAbs().maxCoeff() <
        tolerance);
    d = start;
    tern::gemm<T>(a, b, matrix_view<T>(d), true, scratch, pool);
    CHECK(c == d);
  };
  check(trits, {a_cols, c_cols});
  check(bytes, {1, c_cols});
  check(trits, {1, 32});
  check(trits, {7, 50});
  tern::matrix<T> c(c_rows, c_cols), scales(c_cols, 1);
  CHECK_THROWS_AS(tern::gemm<T>(a, {{bytes.data(), c_cols, a_cols}, scales, {1, a_cols}},
                                matrix_view<T>(c), true, scratch),
                  tern::shape_error);
  CHECK_THROWS_AS(tern::gemm<T>(a, {{bytes.data(), a_cols, c_cols}, scales, {1, c_cols}},
                                matrix_view<T>(c), true, scratch),
                  tern::shape_error);
  CHECK_THROWS_AS(tern::gemm<T>(a, {{bytes.data(), a_cols, c_cols}, scales, {1, 0}},
                                matrix_view<T>(c), true, scratch),
                  tern::shape_error);
}
