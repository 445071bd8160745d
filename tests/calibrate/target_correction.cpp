// Target correction is the least-squares fit to the full-precision stream.
#include "tern/calibrate/target_correction.hpp"

#include <limits>

#include <Eigen/LU>

#include "tern/core/thread_pool.hpp"
#include "tests/gradient_check.hpp"
#include "tests/oracle/calibrate.inc"
#include "tests/oracle/wave.hpp"

using namespace tern;
using tern_test::distance;
using tern_test::random_matrix;
using tern_test::values;
using tern_test::wave;

namespace {

template <class T>
input_moments<T> moments_of_streams(const matrix<T>& x, const matrix<T>& f) {
  moment_accumulator<T> sums(static_cast<std::size_t>(x.cols()), {.drift = true});
  sums.add(x, f);
  return std::move(sums).finish();
}

template <class T>
matrix<T> corrected(matrix<T> w, const input_moments<T>& moments, double ridge = .1,
                    executor_ref ex = {}) {
  arena memory;
  target_correction<T>(moments, ridge, ex).apply(w, memory, ex);
  return w;
}

}  // namespace

TEST_CASE("target correction equals PyTorch with an explicit inverse") {
  using namespace calibrate_values;
  input_moments<double> moments;
  const matrix<double> w = wave<double>(4, 20, 3, .3);
  SECTION("tokens as they are") {
    moments.hessian = values<double>(plain::hessian, 20, 20);
    moments.drift = values<double>(plain::drift, 20, 20);
    CHECK(distance<double>(corrected(w, moments), plain::corrected) < 1e-10);
  }
  SECTION("tokens divided by their RMS") {
    moments.hessian = values<double>(unit_rms::hessian, 20, 20);
    moments.drift = values<double>(unit_rms::drift, 20, 20);
    CHECK(distance<double>(corrected(w, moments), unit_rms::corrected) < 1e-10);
  }
}

TEST_CASE("target correction without a ridge is the least-squares optimum") {
  const matrix<double> x = random_matrix<double>(60, 12, 1), w = random_matrix<double>(5, 12, 3),
                       f = x + random_matrix<double>(60, 12, 2, .3);
  const matrix<double> fitted = corrected(w, moments_of_streams(x, f), 0);
  const matrix<double> residual = x * fitted.transpose() - f * w.transpose();
  CHECK((x.transpose() * residual).cwiseAbs().maxCoeff() < 1e-10);
}

TEST_CASE("target correction recovers weights whose input was changed linearly") {
  const matrix<double> f = random_matrix<double>(60, 12, 1), w = random_matrix<double>(5, 12, 3);
  const matrix<double> change =
      matrix<double>::Identity(12, 12) + random_matrix<double>(12, 12, 2, .1);
  const matrix<double> fitted = corrected(w, moments_of_streams<double>(f * change, f), 0);
  CHECK((fitted - w * change.transpose().inverse()).cwiseAbs().maxCoeff() < 1e-10);
}

TEST_CASE("a larger ridge moves weights less") {
  const matrix<double> x = random_matrix<double>(60, 12, 1), w = random_matrix<double>(5, 12, 3),
                       f = x + random_matrix<double>(60, 12, 2, .3);
  const auto moments = moments_of_streams(x, f);
  const auto moved = [&](double ridge) { return (corrected(w, moments, ridge) - w).norm(); };
  CHECK(moved(0) > moved(.1));
  CHECK(moved(.1) > moved(1));
}

TEST_CASE("equal streams leave weights as they are") {
  const matrix<float> x = random_matrix<float>(60, 12, 1), w = random_matrix<float>(5, 12, 3);
  CHECK(corrected(w, moments_of_streams(x, x)) == w);
}

TEST_CASE("target correction handles fewer tokens than columns") {
  const std::size_t tokens = GENERATE(0u, 1u, 5u);
  const matrix<float> x = random_matrix<float>(tokens, 30, 1), w = random_matrix<float>(5, 30, 3),
                      f = x + random_matrix<float>(tokens, 30, 2);
  const matrix<float> fitted = corrected(w, moments_of_streams(x, f));
  const auto misfit = [&](const matrix<float>& v) {
    return (x * v.transpose() - f * w.transpose()).norm();
  };
  CHECK(misfit(fitted) <= misfit(w));
}

TEST_CASE("a column that is never active keeps its weights") {
  matrix<double> x = random_matrix<double>(60, 12, 1), f = 2 * x;
  x.col(4).setZero();
  const matrix<double> w = random_matrix<double>(5, 12, 3);
  CHECK(corrected(w, moments_of_streams(x, f), 0).col(4) == w.col(4));
}

TEST_CASE("target correction has the same bits for any number of threads") {
  const matrix<float> x = random_matrix<float>(400, 150, 1), w = random_matrix<float>(90, 150, 3),
                      f = x + random_matrix<float>(400, 150, 2, .3);
  const auto moments = moments_of_streams(x, f);
  const std::size_t threads = GENERATE(2u, 3u);
  thread_pool pool(threads);
  CHECK(corrected(w, moments) == corrected(w, moments, .1, pool));
}

TEST_CASE("target correction refuses moments that are not finite or lack the drift") {
  const matrix<float> x = random_matrix<float>(9, 5, 1);
  input_moments<float> moments = moments_of_streams(x, x);
  using correction = target_correction<float>;
  SECTION("hessian") {
    moments.hessian(2, 1) = std::numeric_limits<float>::infinity();
    CHECK_THROWS_WITH(correction(moments), Catch::Contains("hessian") && Catch::Contains("row 2"));
    CHECK_THROWS_AS(correction(moments), numeric_error);
  }
  SECTION("drift") {
    moments.drift(2, 1) = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_WITH(correction(moments), Catch::Contains("drift") && Catch::Contains("row 2"));
    CHECK_THROWS_AS(correction(moments), numeric_error);
  }
  SECTION("no drift") {
    moments.drift = {};
    CHECK_THROWS_AS(correction(moments), config_error);
  }
  SECTION("negative ridge") { CHECK_THROWS_AS(correction(moments, -.1), config_error); }
}
