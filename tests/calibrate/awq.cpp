// AWQ finds the power of the grid with the smallest output error.
#include "tern/calibrate/awq.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "tern/calibrate/least_squares_scale.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/quant/absmean.hpp"
#include "tests/gradient_check.hpp"
#include "tests/oracle/calibrate.inc"
#include "tests/oracle/wave.hpp"

using namespace tern;
using tern_test::random_matrix;
using tern_test::values;
using tern_test::wave;

namespace {

/// Moments of channels of which some are much more active, and weights that are smaller there.
template <class T>
struct unequal_channels {
  input_moments<T> moments;
  matrix<T> weights;

  unequal_channels() : weights(wave<T>(4, 20, 3, .3)) {
    using namespace calibrate_values;
    moments.hessian = values<T>(plain::hessian, 20, 20);
    for (Eigen::Index c = 0; c < 20; ++c) {
      const T active = static_cast<T>(channels::activity[c]);
      moments.hessian.row(c) *= active;
      moments.hessian.col(c) *= active;
      moments.mean_abs.push_back(active * static_cast<T>(plain::mean_abs[c]));
      weights.col(c) /= std::sqrt(active);
    }
  }
};

template <class T, class R = least_squares_scale>
awq_scales<T> search(const std::vector<matrix<T>>& weights, const input_moments<T>& moments,
                     awq options = {}, const R& rule = {}, executor_ref ex = {}) {
  const std::vector<matrix_view<const T>> views(weights.begin(), weights.end());
  arena memory;
  return options.search<T>(views, moments, rule, memory, ex);
}

}  // namespace

TEST_CASE("AWQ equals PyTorch") {
  using namespace calibrate_values;
  const unequal_channels<double> c;
  const awq_scales<double> found = search<double>({c.weights}, c.moments);
  CHECK(found.alpha == channels::alpha);
  CHECK(found.relative_error == Approx(channels::error));
  for (std::size_t k = 0; k < 20; ++k) CHECK(found.factors[k] == Approx(channels::factors[k]));
}

TEST_CASE("AWQ is never worse than rounding to nearest") {
  const unequal_channels<float> c;
  const matrix<float> w = random_matrix<float>(9, 20, 1);
  const double nearest = search<float>({w}, c.moments, {.grid = 1}).relative_error;
  CHECK(search<float>({w}, c.moments).relative_error <= nearest);
}

TEST_CASE("power 0 changes no channel") {
  const unequal_channels<float> c;
  const awq_scales<float> found = search<float>({c.weights}, c.moments, {.grid = 1});
  CHECK(found.alpha == 0);
  CHECK(found.factors == std::vector<float>(20, 1.0f));
}

TEST_CASE("AWQ serves several weights of one input together") {
  const unequal_channels<double> c;
  const auto both = search<double>({c.weights, c.weights}, c.moments);
  const auto one = search<double>({c.weights}, c.moments);
  CHECK(both.alpha == one.alpha);
  CHECK(both.relative_error == Approx(one.relative_error));
}

TEST_CASE("AWQ takes its scales from any weight policy") {
  const unequal_channels<double> c;
  const auto found = search<double>({c.weights}, c.moments, {}, policy_scale<absmean>{});
  CHECK(found.alpha > 0);
}

TEST_CASE("AWQ handles channels that are never active") {
  unequal_channels<float> c;
  SECTION("one") {
    c.moments.mean_abs[3] = 0;
    c.moments.hessian.row(3).setZero();
    c.moments.hessian.col(3).setZero();
    for (const float factor : search<float>({c.weights}, c.moments).factors)
      CHECK((std::isfinite(factor) && factor > 0));
  }
  SECTION("all") {
    c.moments.mean_abs.assign(20, 0.0f);
    c.moments.hessian.setZero();
    const auto found = search<float>({c.weights}, c.moments);
    CHECK(found.factors == std::vector<float>(20, 1.0f));
    CHECK(found.relative_error == 0);
  }
}

TEST_CASE("AWQ has the same bits for any number of threads") {
  const unequal_channels<float> c;
  const matrix<float> w = random_matrix<float>(3000, 20, 1);
  thread_pool pool(3);
  const auto serial = search<float>({w}, c.moments),
             parallel = search<float>({w}, c.moments, {}, least_squares_scale{}, pool);
  CHECK(serial.factors == parallel.factors);
  CHECK(serial.relative_error == parallel.relative_error);
}

TEST_CASE("AWQ refuses an empty grid, wrong shapes and values that are not finite") {
  unequal_channels<float> c;
  CHECK_THROWS_AS(search<float>({c.weights}, c.moments, {.grid = 0}), config_error);
  CHECK_THROWS_AS(search<float>({random_matrix<float>(3, 19, 1)}, c.moments), shape_error);
  c.moments.hessian(1, 2) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(search<float>({c.weights}, c.moments), numeric_error);
}
