// Coordinate descent ends where no change of one code lowers the error, and holds what its header
// promises.
#include "tern/calibrate/coordinate_descent.hpp"

#include <cmath>
#include <cstdint>
#include <limits>

#include "calibrated.hpp"
#include "tern/core/thread_pool.hpp"

using namespace tern;
using tern_test::calibrated;
using tern_test::factor_of;
using tern_test::random_hessian;
using tern_test::random_matrix;

namespace {

/// Weights with their codes and scales from GPTQ, and what coordinate descent makes of them.
template <class T>
struct descent {
  matrix<T> w, h;
  calibrated<T> q;

  descent(std::size_t m, std::size_t k, const least_squares_scale& rule, std::uint64_t seed)
      : w(random_matrix<T>(m, k, seed, .2)),
        h(random_hessian<T>(k, 3 * k, seed + 1)),
        q(w, factor_of(h), rule) {}

  void improve(coordinate_descent options = {}, executor_ref ex = {}) {
    arena memory;
    const auto m = static_cast<std::size_t>(w.rows()), k = static_cast<std::size_t>(w.cols());
    options.improve<T>(w, h, q.block, {{q.codes.data(), m, k}, q.scales, q.latents}, memory, ex);
  }

  /// (w - v) (H + damping) (w - v)^T of row r, for values v of the whole matrix.
  [[nodiscard]] double error(Eigen::Index r, const matrix<T>& values, double damping = .02) const {
    const Eigen::RowVectorXd e = (w - values).row(r).template cast<double>();
    Eigen::MatrixXd damped = h.template cast<double>();
    damped.diagonal().array() += damping * damped.diagonal().mean();
    return e * damped * e.transpose();
  }
};

/// Half the second derivative of the error by column c.
double curvature(const descent<double>& d, Eigen::Index c) {
  return d.h(c, c) + .02 * d.h.diagonal().mean();
}

constexpr least_squares_scale by_row{.block = {1, 0}}, by_group{.block = {1, 16}},
    by_tensor{.block = {0, 0}};

}  // namespace

TEST_CASE("coordinate descent ends where no other code of one weight is better") {
  descent<double> d(5, 40, GENERATE(by_row, by_group, by_tensor), 3);
  const matrix<double> before = d.q.values();
  d.improve({.sweeps = 100});
  const matrix<double> after = d.q.values();
  double sum_before = 0, sum_after = 0;
  for (Eigen::Index r = 0; r < 5; ++r) {
    const double best = d.error(r, after);
    sum_before += d.error(r, before);
    sum_after += best;
    for (Eigen::Index c = 0; c < 40; ++c) {
      const double scale = d.q.scales(r / static_cast<Eigen::Index>(d.q.block.rows),
                                      c / static_cast<Eigen::Index>(d.q.block.cols));
      for (const double code : {-1.0, 0.0, 1.0}) {
        matrix<double> other = after;
        other(r, c) = code * scale;
        CHECK(d.error(r, other) >= best * (1 - 1e-12));
      }
    }
  }
  CHECK(sum_after < .99 * sum_before);
}

TEST_CASE("latents of coordinate descent are the best values, with the codes that were found") {
  descent<double> d(3, 40, by_row, 3);
  d.improve({.sweeps = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{100})});
  const matrix<double> values = d.q.values();
  for (Eigen::Index r = 0; r < 3; ++r)
    for (Eigen::Index c = 0; c < 40; ++c) {
      const double latent = d.q.latents(r, c), scale = d.q.scales(r, 0);
      const auto code = static_cast<std::int8_t>(std::lround(values(r, c) / scale));
      CHECK(scaled_trit(latent, scale) == code);
      matrix<double> at = values, above = values;
      at(r, c) = latent;
      above(r, c) = latent + 1e-4;
      // Where a sweep more would change the code, the latent stands at the threshold.
      if (std::abs(std::abs(latent) - scale / 2) > 1e-9)
        CHECK(d.error(r, above) - d.error(r, at) == Approx(1e-8 * curvature(d, c)).epsilon(1e-3));
    }
}

TEST_CASE("without sweeps codes stay as they were") {
  descent<float> d(4, 40, by_row, 5);
  const auto codes = d.q.codes;
  d.improve({.sweeps = 0});
  CHECK(d.q.codes == codes);
  d.improve();
  CHECK(d.q.codes != codes);
}

TEST_CASE("coordinate descent has the same bits for any number of threads") {
  thread_pool pool(GENERATE(2u, 3u));
  descent<float> a(100, 90, by_group, 7), b(100, 90, by_group, 7);
  a.improve();
  b.improve({}, pool);
  CHECK(a.q.codes == b.q.codes);
  CHECK(a.q.latents == b.q.latents);
}

TEST_CASE("a column that is never active keeps the nearest code") {
  descent<double> d(3, 20, by_row, 9);
  d.h.row(7).setZero();
  d.h.col(7).setZero();
  const double damping = GENERATE(0.0, .02);
  d.improve({.sweeps = 100, .damping = damping});
  for (Eigen::Index r = 0; r < 3; ++r) {
    CHECK(d.q.latents(r, 7) == Approx(d.w(r, 7)).margin(1e-12));
    CHECK(d.q.codes[static_cast<std::size_t>(20 * r + 7)] ==
          scaled_trit(d.w(r, 7), d.q.scales(r, 0)));
  }
}

TEST_CASE("coordinate descent refuses bad options and shapes") {
  descent<float> d(3, 20, by_row, 9);
  CHECK_THROWS_AS(d.improve({.damping = -1}), config_error);
  CHECK_THROWS_AS(d.improve({.damping = std::numeric_limits<double>::infinity()}), config_error);
  d.h = matrix<float>::Identity(19, 19);
  CHECK_THROWS_AS(d.improve(), shape_error);
}
