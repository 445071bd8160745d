// Compares ste with the closed formula x + lambda (Q(x) - x).
#include "tern/grad/ste.hpp"

#include <cmath>

#include "tern/quant/absmax_int8.hpp"
#include "tern/quant/absmean.hpp"
#include "tern/quant/block.hpp"
#include "tern/quant/per_channel.hpp"
#include "tests/gradient_check.hpp"

using tern_test::random_matrix;

namespace {

double absmean_formula(const tern::matrix<double>& w, int r, int c) {
  const double d = w.cwiseAbs().mean();
  return d * std::clamp(std::nearbyint(w(r, c) / (d + 1e-5)), -1.0, 1.0);
}

double absmax_formula(const tern::matrix<double>& x, int r, int c) {
  const double g = x.row(r).cwiseAbs().maxCoeff();
  return g / 127 * std::clamp(std::nearbyint(127 / (g + 1e-5) * x(r, c)), -128.0, 127.0);
}

double per_channel_formula(const tern::matrix<double>& w, int r, int c) {
  return absmean_formula(w.row(r), 0, c);
}

template <int N>
double block_formula(const tern::matrix<double>& w, int r, int c) {
  const int first = c / N * N, n = std::min<int>(N, static_cast<int>(w.cols()) - first);
  return absmean_formula(w.block(r, first, 1, n), 0, c - first);
}

template <class Quantizer, class Formula>
void check(Formula formula) {
  using node = tern::ste<Quantizer, double>;
  const double lambda = GENERATE(0.0, 0.25, 1.0);
  const auto x = random_matrix<double>(6, 35, 1), dy = random_matrix<double>(6, 35, 2);
  tern::matrix<double> y(6, 35), dx = random_matrix<double>(6, 35, 3);
  const tern::matrix<double> before = dx;
  tern::arena scratch;
  node::forward(x, y, scratch, lambda);
  for (int r = 0; r < 6; ++r)
    for (int c = 0; c < 35; ++c)
      CHECK(y(r, c) == Approx(x(r, c) + lambda * (formula(x, r, c) - x(r, c))).margin(1e-14));
  CHECK(scratch.mark().used == 0);

  node::backward(dy, dx);
  CHECK(dx == before + dy);
  node::backward(dy, {});

  tern::matrix<double> in_place = x;
  node::forward(in_place, in_place, scratch, lambda);
  CHECK(in_place == y);
}

}  // namespace

TEST_CASE("ste of absmean follows the formula", "[ste]") { check<tern::absmean>(absmean_formula); }
TEST_CASE("ste of per_channel follows the formula", "[ste]") {
  check<tern::per_channel>(per_channel_formula);
}
TEST_CASE("ste of block follows the formula", "[ste]") {
  check<tern::block<16>>(block_formula<16>);
}
TEST_CASE("ste of absmax_int8 follows the formula", "[ste]") {
  check<tern::absmax_int8>(absmax_formula);
}

TEST_CASE("ste refuses outputs of another shape", "[ste]") {
  const auto x = random_matrix<float>(2, 3, 1);
  tern::matrix<float> y(3, 2);
  tern::arena scratch;
  CHECK_THROWS_AS(tern::ste<tern::absmean>::forward(x, y, scratch), tern::shape_error);
}
