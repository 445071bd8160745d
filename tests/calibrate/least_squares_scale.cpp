// The least-squares scale is the best one for its codes, and its codes are the nearest ones for it.
#include "tern/calibrate/least_squares_scale.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "tern/core/thread_pool.hpp"
#include "tests/gradient_check.hpp"

using namespace tern;
using tern_test::random_matrix;

namespace {

double squared_error(const matrix<double>& w, double scale) {
  double total = 0;
  for (const double v : w.reshaped()) total += std::pow(v - scale * scaled_trit(v, scale), 2);
  return total;
}

double scale_of(const matrix<double>& w, least_squares_scale rule = {.block = {0, 0}}) {
  matrix<double> scale(1, 1);
  rule.find<double>(w, scale);
  return scale(0, 0);
}

}  // namespace

TEST_CASE("the least-squares scale is a minimum of the squared error") {
  const matrix<double> w = random_matrix<double>(1, GENERATE(1u, 2u, 31u, 64u, 1000u), 1);
  const double scale = scale_of(w), error = squared_error(w, scale);
  CHECK(squared_error(w, scale * 1.0001) >= error - 1e-12);
  CHECK(squared_error(w, scale * .9999) >= error - 1e-12);
}

TEST_CASE("normal weights get the scale of the optimal three-level quantizer") {
  CHECK(scale_of(random_matrix<double>(300, 300, 1)) == Approx(1.2240).epsilon(.01));  // Max 1960
}

TEST_CASE("weights of one size get that size as their scale") {
  matrix<double> w = matrix<double>::Constant(3, 5, .25);
  w(1, 2) = -.25;
  CHECK(scale_of(w) == .25);
}

TEST_CASE("the factor is multiplied into the scale") {
  const matrix<double> w = random_matrix<double>(4, 30, 2);
  CHECK(scale_of(w, {.block = {0, 0}, .factor = 1.25}) == 1.25 * scale_of(w));
}

TEST_CASE("zeros have scale 0") { CHECK(scale_of(matrix<double>::Zero(2, 3)) == 0); }

TEST_CASE("a scale belongs to its block alone") {
  const matrix<double> w = random_matrix<double>(3, 70, 3);
  matrix<double> scales(3, 3);
  least_squares_scale{.block = {1, 32}}.find<double>(w, scales);
  for (Eigen::Index r = 0; r < 3; ++r) {
    CHECK(scales(r, 0) == scale_of(w.block(r, 0, 1, 32)));
    CHECK(scales(r, 1) == scale_of(w.block(r, 32, 1, 32)));
    CHECK(scales(r, 2) == scale_of(w.block(r, 64, 1, 6)));
  }
}

TEST_CASE("a least-squares scale has the same bits for any number of threads") {
  const matrix<float> w = random_matrix<float>(500, 300, 3);
  thread_pool pool(3);
  matrix<float> a(1, 1), b(1, 1);
  least_squares_scale{.block = {0, 0}}.find<float>(w, a);
  least_squares_scale{.block = {0, 0}}.find<float>(w, b, pool);
  CHECK(a == b);
}

TEST_CASE("a least-squares scale of weights that are not finite is refused") {
  matrix<double> w = random_matrix<double>(2, 5, 3);
  w(1, 1) =
      GENERATE(std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity());
  CHECK_THROWS_AS(scale_of(w), numeric_error);
}
