// Moments equal plain sums over tokens, whatever the batches, weights and threads.
#include "tern/calibrate/input_moments.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tern/core/thread_pool.hpp"
#include "tests/gradient_check.hpp"
#include "tests/oracle/calibrate.inc"
#include "tests/oracle/wave.hpp"

using namespace tern;
using tern_test::distance;
using tern_test::random_matrix;
using tern_test::wave;

namespace {

constexpr std::size_t tokens = 50, width = 20;

struct streams {
  matrix<double> x = wave<double>(tokens, width, 1);
  matrix<double> f = x + wave<double>(tokens, width, 2, .2);
  std::vector<double> weights;

  streams() {
    for (std::size_t n = 0; n < tokens; ++n) weights.push_back(static_cast<double>(n % 4) / 2);
  }
};

bool same_bits(const input_moments<float>& a, const input_moments<float>& b) {
  return a.hessian == b.hessian && a.drift == b.drift && a.mean_abs == b.mean_abs &&
         a.weight == b.weight && a.tokens == b.tokens;
}

input_moments<float> moments_of(const matrix<float>& x, std::size_t batch, executor_ref ex = {}) {
  moment_accumulator<float> sums(static_cast<std::size_t>(x.cols()),
                                 {.unit_rms = true, .drift = true});
  const matrix<float> f = 2 * x;
  const auto n = static_cast<std::size_t>(x.rows());
  for (std::size_t r = 0; r < n; r += batch) {
    const std::size_t part = std::min(batch, n - r);
    sums.add(matrix_view<const float>(x).row_block(r, part),
             matrix_view<const float>(f).row_block(r, part), {}, ex);
  }
  return std::move(sums).finish(ex);
}

}  // namespace

TEST_CASE("moments equal PyTorch's") {
  const streams s;
  const auto compare = [&](bool unit_rms, const auto& hessian, const auto& drift,
                           const auto& mean_abs) {
    moment_accumulator<double> sums(width, {.unit_rms = unit_rms, .drift = true});
    sums.add(s.x, s.f, s.weights);
    const input_moments<double> m = std::move(sums).finish();
    CHECK(distance<double>(m.hessian, hessian) < 1e-12);
    CHECK(distance<double>(m.drift, drift) < 1e-12);
    for (std::size_t c = 0; c < width; ++c) CHECK(m.mean_abs[c] == Approx(mean_abs[c]));
  };
  namespace values = calibrate_values;
  SECTION("as they are") {
    compare(false, values::plain::hessian, values::plain::drift, values::plain::mean_abs);
  }
  SECTION("tokens divided by their RMS") {
    compare(true, values::unit_rms::hessian, values::unit_rms::drift, values::unit_rms::mean_abs);
  }
}

TEST_CASE("moments count the tokens that have a weight") {
  const streams s;
  moment_accumulator<double> sums(width);
  sums.add(s.x, {}, s.weights);
  sums.add(s.x);
  const input_moments<double> m = std::move(sums).finish();
  CHECK(m.tokens == 37 + 50);
  CHECK(m.weight == Approx(0.5 * 13 + 1.0 * 12 + 1.5 * 12 + 50));
}

TEST_CASE("float moments of many tokens equal sums in double") {
  const std::size_t k = 300, n = 2500;
  const matrix<float> x = random_matrix<float>(n, k, 3);
  thread_pool pool(2);
  moment_accumulator<float> sums(k);
  sums.add(x, {}, {}, pool);
  const input_moments<float> m = std::move(sums).finish(pool);
  const matrix<double> exact = x.cast<double>().transpose() * x.cast<double>();
  CHECK((m.hessian.cast<double>() - exact).cwiseAbs().maxCoeff() < 1e-5 * n);
  CHECK(m.hessian == m.hessian.transpose());
}

TEST_CASE("moments have the same bits for any number of threads") {
  const matrix<float> x = random_matrix<float>(1500, 270, 4);
  const std::size_t threads = GENERATE(2u, 3u);
  thread_pool pool(threads);
  CHECK(same_bits(moments_of(x, 1500), moments_of(x, 1500, pool)));
}

TEST_CASE("moments have the same bits however tokens are cut into batches") {
  const matrix<float> x = random_matrix<float>(1500, 70, 4);
  const std::size_t batch = GENERATE(1u, 128u, 1100u);
  CHECK(same_bits(moments_of(x, 1500), moments_of(x, batch)));
}

TEST_CASE("moments take column-major activations") {
  const matrix<float> x = random_matrix<float>(40, 30, 4), columns = x.transpose();
  moment_accumulator<float> a(30), b(30);
  a.add(x);
  b.add(matrix_view<const float>(columns).transposed());
  CHECK(same_bits(std::move(a).finish(), std::move(b).finish()));
}

TEST_CASE("tokens of weight 0 have no effect, even where they are not finite") {
  matrix<float> x = random_matrix<float>(6, 9, 5);
  const matrix<float> rest = x.bottomRows(5);
  x(0, 3) = std::numeric_limits<float>::quiet_NaN();
  moment_accumulator<float> with(9), without(9);
  with.add(x, {}, std::vector<float>{0, 1, 1, 1, 1, 1});
  without.add(rest);
  CHECK(same_bits(std::move(with).finish(), std::move(without).finish()));
}

TEST_CASE("a token with huge activations has no more effect than others if divided by its RMS") {
  matrix<float> x = random_matrix<float>(6, 9, 5);
  const matrix<float> expected = [&] {
    moment_accumulator<float> sums(9, {.unit_rms = true});
    sums.add(x);
    return std::move(sums).finish().hessian;
  }();
  x.row(2) *= 4096;
  x.row(3) /= 4096;
  moment_accumulator<float> sums(9, {.unit_rms = true});
  sums.add(x);
  CHECK((std::move(sums).finish().hessian - expected).cwiseAbs().maxCoeff() < 1e-4f);
}

TEST_CASE("a token of zeros adds nothing") {
  const bool unit = GENERATE(false, true);
  matrix<float> x = matrix<float>::Zero(1, 4);
  moment_accumulator<float> sums(4, {.unit_rms = unit});
  sums.add(x);
  CHECK(std::move(sums).finish().hessian.isZero(0));
}

TEST_CASE("equal streams have no drift") {
  const matrix<float> x = random_matrix<float>(20, 9, 5);
  moment_accumulator<float> sums(9, {.drift = true});
  sums.add(x, x);
  CHECK(std::move(sums).finish().drift.isZero(0));
}

TEST_CASE("moments refuse values that are not finite and name the row") {
  const float bad = GENERATE(std::numeric_limits<float>::quiet_NaN(),
                             std::numeric_limits<float>::infinity(), 1e30f);
  const matrix<float> good = random_matrix<float>(4, 5, 6);
  matrix<float> x = good;
  x(2, 1) = bad;
  moment_accumulator<float> sums(5, {.drift = true});
  CHECK_THROWS_WITH(sums.add(x, good), Catch::Contains("row 2 of x"));
  CHECK_THROWS_WITH(sums.add(good, x), Catch::Contains("row 2 of the reference"));
  CHECK_THROWS_AS(sums.add(x, good), numeric_error);
}

TEST_CASE("moments refuse wrong shapes, weights and streams") {
  const matrix<float> x = random_matrix<float>(4, 5, 6), narrow = random_matrix<float>(4, 3, 6);
  moment_accumulator<float> one(5), two(5, {.drift = true});
  CHECK_THROWS_AS(one.add(narrow), shape_error);
  CHECK_THROWS_AS(two.add(x, narrow), shape_error);
  CHECK_THROWS_AS(two.add(x), shape_error);
  CHECK_THROWS_AS(one.add(x, x), config_error);
  CHECK_THROWS_AS(one.add(x, {}, std::vector<float>(3, 1.0f)), shape_error);
  CHECK_THROWS_AS(one.add(x, {}, std::vector<float>{1, 1, -1, 1}), config_error);
  CHECK_THROWS_AS(one.add(x, {}, std::vector<float>{1, 1, NAN, 1}), config_error);
}
