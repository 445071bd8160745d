// The least-squares scales of fixed codes.
#include "tern/calibrate/refit_scales.hpp"

#include <cmath>
#include <vector>

#include "tern/core/random.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/model/parameter.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

constexpr std::size_t out_width = 6, in_width = 20, token_count = 60;

/// Inputs of both streams, weights, codes and first scales.
struct problem {
  matrix<double> x = normal(token_count, in_width, 1),
                 f = x + 0.3 * normal(token_count, in_width, 2), w = normal(out_width, in_width, 3);
  std::vector<std::int8_t> codes = std::vector<std::int8_t>(out_width * in_width);
  input_moments<double> moments;

  problem() {
    for (std::size_t i = 0; i < out_width * in_width; ++i) {
      const double v = w.data()[i];
      codes[i] = static_cast<std::int8_t>((v > 0.6) - (v < -0.6));
    }
    moment_accumulator<double> sums(in_width, {.drift = true});
    sums.add(x, f);
    moments = std::move(sums).finish();
  }

  static matrix<double> normal(std::size_t rows, std::size_t cols, std::uint64_t seed) {
    parameter<matrix<double>> p("p", rows, cols);
    p.fill_normal(1, philox(seed));
    return p.value;
  }

  [[nodiscard]] matrix<double> refitted(extents block, double ridge, executor_ref ex = {}) const {
    const extents n = scale_extents({out_width, in_width}, block);
    matrix<double> scales(n.rows, n.cols);
    scales.fill(0.9);
    arena memory;
    refit_scales<double>(w, {codes.data(), out_width, in_width}, block, moments, ridge, scales,
                         memory, ex);
    return scales;
  }

  /// sum_n |Q x_n - W f_n|^2 + lambda |s - 0.9|^2, by definition.
  [[nodiscard]] double loss(const matrix<double>& scales, extents block, double lambda) const {
    matrix<double> q(out_width, in_width);
    dequantize<double>({codes.data(), out_width, in_width}, scales, block, q);
    return (x * q.transpose() - f * w.transpose()).squaredNorm() +
           lambda * (scales.array() - 0.9).square().sum();
  }
};

}  // namespace

TEST_CASE("refitted scales are the minimum of the squared error") {
  const problem p;
  const auto [name, block] = GENERATE(table<std::string, extents>({
      {"a scale for each row", {1, in_width}},
      {"a scale for every 8 columns", {1, 8}},
      {"one scale", {out_width, in_width}},
  }));
  INFO(name);
  const matrix<double> s = p.refitted(block, 0);
  CHECK((s.array() != 0.9).all());
  const double best = p.loss(s, block, 0);
  for (Eigen::Index i = 0; i < s.size(); ++i)
    for (const double step : {-1e-3, 1e-3}) {
      matrix<double> moved = s;
      moved.data()[i] += step;
      CHECK(p.loss(moved, block, 0) > best);
    }
}

TEST_CASE("the ridge holds scales at what they were") {
  const problem p;
  const extents block{1, in_width};
  const matrix<double> free = p.refitted(block, 0), held = p.refitted(block, 1e6);
  CHECK((free.array() - 0.9).abs().maxCoeff() > 0.01);
  CHECK((held.array() - 0.9).abs().maxCoeff() < 1e-5);
}

TEST_CASE("scales without a positive fit stay") {
  problem p;
  p.w = -p.w;  // the codes have the wrong signs
  CHECK((p.refitted({1, in_width}, 0).array() == 0.9).all());
}

TEST_CASE("a row without codes keeps its scale") {
  problem p;
  std::fill_n(p.codes.begin(), in_width, std::int8_t{0});
  const matrix<double> s = p.refitted({1, in_width}, 0.02);
  CHECK(s(0, 0) == 0.9);
  CHECK(s(1, 0) != 0.9);
}

TEST_CASE("refitted scales have the same bits for any number of threads") {
  const problem p;
  thread_pool pool(3);
  CHECK(p.refitted({1, 8}, 0.02, pool) == p.refitted({1, 8}, 0.02));
}

TEST_CASE("blocks of several rows are refused") {
  const problem p;
  CHECK_THROWS_AS(p.refitted({2, in_width}, 0.02), config_error);
}
