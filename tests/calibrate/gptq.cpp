// GPTQ equals its definition, written without blocks and with explicit inverses, and holds what its
// header promises.
#include "tern/calibrate/gptq.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <tuple>
#include <vector>

#include <Eigen/LU>

#include "calibrated.hpp"
#include "tern/calibrate/output_error.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/quant/absmean.hpp"
#include "tern/quant/block.hpp"
#include "tern/quant/paper_awq.hpp"
#include "tern/quant/per_channel.hpp"
#include "tern/quant/twn.hpp"
#include "tests/oracle/calibrate.inc"
#include "tests/oracle/wave.hpp"

using namespace tern;
using tern_test::calibrated;
using tern_test::distance;
using tern_test::factor_of;
using tern_test::random_hessian;
using tern_test::random_matrix;
using tern_test::wave;

namespace {

/// Optimal Brain Compression column by column: the inverse of the hessian of the columns that are
/// left is computed anew for each column. Scales are given.
template <class T>
matrix<T> brute_force(matrix<T> w, const matrix<T>& hessian, double damping,
                      std::span<const std::size_t> order, const matrix<T>& scales, extents block) {
  Eigen::MatrixXd h = hessian.template cast<double>();
  h.diagonal().array() += damping * h.diagonal().mean();
  matrix<T> codes = matrix<T>::Zero(w.rows(), w.cols());
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::vector<Eigen::Index> left(order.begin() + static_cast<std::ptrdiff_t>(i),
                                         order.end());
    const Eigen::MatrixXd rest = h(left, left), inverse = rest.inverse();
    for (Eigen::Index r = 0; r < w.rows(); ++r) {
      const T scale = scales(r / static_cast<Eigen::Index>(block.rows),
                             left[0] / static_cast<Eigen::Index>(block.cols));
      codes(r, left[0]) = std::clamp(std::nearbyint(w(r, left[0]) / scale), T(-1), T(1));
      const double error = (w(r, left[0]) - codes(r, left[0]) * scale) / inverse(0, 0);
      for (std::size_t c = 1; c < left.size(); ++c)
        w(r, left[c]) -= static_cast<T>(error * inverse(0, static_cast<Eigen::Index>(c)));
    }
  }
  return codes;
}

template <class T>
double error_of(const matrix<T>& w, const matrix<T>& q, const matrix<T>& hessian) {
  arena memory;
  return relative_output_error<T>(w, q, hessian, memory);
}

/// Rounding to nearest with the scales of a rule.
template <class T, class R>
matrix<T> nearest(const matrix<T>& w, const R& rule) {
  const matrix<T> identity = matrix<T>::Identity(w.cols(), w.cols());
  return calibrated<T>(w, factor_of<T>(identity), rule).values();
}

constexpr least_squares_scale per_tensor{.block = {0, 0}}, per_row{.block = {1, 0}};
constexpr least_squares_scale groups_of(std::size_t n) { return {.block = {1, n}}; }

}  // namespace

static_assert(scale_rule<least_squares_scale, float> && scale_rule<least_squares_scale, double>);
static_assert(scale_rule<policy_scale<absmean>, float>);
static_assert(!scale_rule<absmean, float>);

TEST_CASE("GPTQ equals PyTorch with an explicit inverse") {
  using namespace calibrate_values;
  const gptq_case c = GENERATE(from_range(std::begin(gptq_cases), std::end(gptq_cases)));
  INFO(c.name);
  const auto hessian = tern_test::values<double>(plain::hessian, 20, 20);
  const auto order = c.by_activation ? column_order::activation : column_order::natural;
  const calibrated<double> q(wave<double>(4, 20, 3, .3), factor_of(hessian, {.order = order}),
                             least_squares_scale{.block = {c.block_rows, c.block_cols}});
  CHECK(distance<double>(q.real_codes(), c.codes) == 0);
  CHECK(distance<double>(q.scales, c.scales) < 1e-10);
  CHECK(distance<double>(q.latents, c.latents) < 1e-10);
}

TEMPLATE_TEST_CASE("GPTQ has the codes of brute force", "", float, double) {
  using T = TestType;
  const auto order = GENERATE(column_order::natural, column_order::activation);
  const matrix<T> hessian = random_hessian<T>(45, 200, 1), w = random_matrix<T>(7, 45, 2, .2);
  const hessian_factor<T> factor = factor_of(hessian, {.damping = .05, .order = order});
  const calibrated<T> q(w, factor, per_row);
  const matrix<T> expected = brute_force(w, hessian, .05, factor.order(), q.scales, q.block);
  CHECK(q.real_codes() == expected);
}

TEST_CASE("blocks do not change the codes of GPTQ") {
  const std::size_t block_columns = GENERATE(1u, 5u, 32u, 48u, 64u);
  const std::size_t group = GENERATE(0u, 16u, 32u, 128u);
  INFO("blocks of " << block_columns << ", groups of " << group);
  const matrix<double> w = random_matrix<double>(5, 150, 3, .2);
  const auto factor = factor_of(random_hessian<double>(150, 400, 4));
  const calibrated<double> plain(w, factor, groups_of(group), {.block_columns = 1000});
  const calibrated<double> blocked(w, factor, groups_of(group), {.block_columns = block_columns});
  CHECK(blocked.codes == plain.codes);
  CHECK((blocked.scales - plain.scales).cwiseAbs().maxCoeff() < 1e-10);
  CHECK((blocked.latents - plain.latents).cwiseAbs().maxCoeff() < 1e-10);
}

TEST_CASE("GPTQ has the same bits for any number of threads") {
  const least_squares_scale rule =
      GENERATE(values<least_squares_scale>({per_tensor, per_row, groups_of(32)}));
  const std::size_t threads = GENERATE(2u, 3u);
  thread_pool pool(threads);
  const matrix<float> w = random_matrix<float>(200, 160, 3, .2),
                      h = random_hessian<float>(160, 300, 4);
  const hessian_factor<float> serial(matrix_view<const float>{h}), parallel(h, {}, pool);
  const auto upper = [](const hessian_factor<float>& factor) {
    return matrix<float>(Eigen::Map<const matrix<float>>(factor.upper().data, 160, 160));
  };
  CHECK(upper(serial) == upper(parallel));
  const calibrated<float> a(w, serial, rule), b(w, parallel, rule, {}, pool);
  CHECK(a.codes == b.codes);
  CHECK(a.scales == b.scales);
  CHECK(a.latents == b.latents);
}

TEST_CASE("rounding the latents with the scales gives the codes") {
  const auto [rule, order] = GENERATE(
      table<least_squares_scale, column_order>({{per_tensor, column_order::natural},
                                                {per_row, column_order::natural},
                                                {groups_of(32), column_order::natural},
                                                {groups_of(32), column_order::activation}}));
  const matrix<float> w = random_matrix<float>(100, 300, 5, .2);
  const calibrated<float> q(w, factor_of(random_hessian<float>(300, 200, 6), {.order = order}),
                            rule);
  const matrix<float> codes = q.real_codes();
  std::size_t wrong = 0;
  for (Eigen::Index r = 0; r < w.rows(); ++r)
    for (Eigen::Index c = 0; c < w.cols(); ++c) {
      const float scale = q.scales(r / static_cast<Eigen::Index>(q.block.rows),
                                   c / static_cast<Eigen::Index>(q.block.cols));
      const float code = std::clamp(std::nearbyint(q.latents(r, c) / scale), -1.0f, 1.0f);
      wrong += code != codes(r, c);
    }
  CHECK(wrong == 0);
}

TEST_CASE("GPTQ has a smaller output error than rounding to nearest") {
  const auto [name, rule] = GENERATE(table<const char*, least_squares_scale>(
      {{"one scale", per_tensor}, {"rows", per_row}, {"groups", groups_of(32)}}));
  INFO(name);
  const matrix<float> w = random_matrix<float>(40, 96, 7, .2),
                      h = random_hessian<float>(96, 500, 8);
  const calibrated<float> q(w, factor_of(h), rule);
  CHECK(error_of<float>(w, q.values(), h) < .7 * error_of<float>(w, nearest(w, rule), h));
}

TEST_CASE("an identity hessian makes GPTQ round to nearest") {
  const matrix<float> w = random_matrix<float>(3, 70, 7),
                      identity = matrix<float>::Identity(70, 70);
  const calibrated<float> q(w, factor_of(identity), per_row);
  CHECK(q.latents == w);
}

TEST_CASE("groups are natural columns where the order is by activation") {
  const matrix<double> w = random_matrix<double>(3, 64, 7);
  const auto factor =
      factor_of(random_hessian<double>(64, 200, 8), {.order = column_order::activation});
  const calibrated<double> q(w, factor, groups_of(16));
  matrix<double> expected(3, 4);
  groups_of(16).find<double>(w, expected);
  CHECK(q.scales == expected);
}

TEMPLATE_TEST_CASE("GPTQ takes its scales from any weight policy", "", absmean, per_channel,
                   block<32>, twn, paper_awq) {
  const matrix<float> w = random_matrix<float>(9, 96, 9, .2);
  const calibrated<float> q(w, factor_of(random_hessian<float>(96, 300, 8)),
                            policy_scale<TestType>{});
  const extents n = scale_extents({9, 96}, TestType::scale_block(9, 96));
  std::vector<std::int8_t> codes(9 * 96);
  matrix<float> scales(n.rows, n.cols);
  TestType{}.template quantize<float>(w, {codes.data(), 9, 96}, scales);
  const Eigen::Index known = TestType::scale_block(9, 96).cols < 96 ? 1 : scales.cols();
  // Later groups have scales of compensated weights.
  CHECK(q.scales.leftCols(known) == scales.leftCols(known));
}

TEST_CASE("later groups have the scales of compensated weights") {
  const matrix<double> w = random_matrix<double>(4, 24, 9), h = random_hessian<double>(24, 90, 8);
  const calibrated<double> q(w, factor_of(h), policy_scale<block<8>>{});
  matrix<double> plain(4, 3);
  std::vector<std::int8_t> codes(4 * 24);
  block<8>{}.quantize<double>(w, {codes.data(), 4, 24}, plain);
  CHECK((q.scales - plain).rightCols(2).cwiseAbs().minCoeff() > 0);
}

TEST_CASE("a hessian of fewer tokens than columns is handled by the damping") {
  const std::size_t tokens = GENERATE(0u, 1u, 5u);
  const matrix<float> w = random_matrix<float>(4, 40, 9), x = random_matrix<float>(tokens, 40, 10);
  const matrix<float> h = x.transpose() * x;
  const calibrated<float> q(w, factor_of(h), per_row);
  CHECK(error_of<float>(w, q.values(), h) <= error_of<float>(w, nearest(w, per_row), h));
}

TEST_CASE("a hessian that is not positive definite without damping is refused") {
  const matrix<float> x = random_matrix<float>(2, 9, 10), h = x.transpose() * x;
  CHECK_THROWS_WITH(factor_of(h, {.damping = 0}), Catch::Contains("raise the damping"));
  CHECK_THROWS_AS(factor_of(h, {.damping = 0}), numeric_error);
}

TEST_CASE("a column that is never active is rounded to nearest and has no effect") {
  const auto order = GENERATE(column_order::natural, column_order::activation);
  matrix<double> h = random_hessian<double>(30, 90, 11), w = random_matrix<double>(3, 30, 12);
  h.row(7).setZero();
  h.col(7).setZero();
  const double damping = GENERATE(0.0, .02);
  const auto factor = factor_of(h, {.damping = damping, .order = order});
  const calibrated<double> q(w, factor, per_tensor);
  CHECK(q.latents.col(7) == w.col(7));
  w.col(7) *= 1.001;  // another error, nearly the same scale
  const calibrated<double> other(w, factor, per_tensor);
  CHECK((q.latents - other.latents).leftCols(7).cwiseAbs().maxCoeff() < 1e-2);
}

TEST_CASE("a constant input column is handled") {
  matrix<float> x = random_matrix<float>(100, 20, 13);
  x.col(4).setConstant(3);
  x.col(11).setConstant(-2);
  const matrix<float> h = x.transpose() * x, w = random_matrix<float>(5, 20, 14);
  const calibrated<float> q(w, factor_of(h), per_row);
  CHECK(error_of<float>(w, q.values(), h) < error_of<float>(w, nearest(w, per_row), h));
}

TEST_CASE("a row of zeros stays zero and gets scale 1") {
  const auto [name, rule] = GENERATE(
      table<const char*, least_squares_scale>({{"rows", per_row}, {"groups", groups_of(8)}}));
  INFO(name);
  matrix<float> w = random_matrix<float>(3, 20, 14);
  w.row(1).setZero();
  const calibrated<float> q(w, factor_of(random_hessian<float>(20, 90, 11)), rule);
  CHECK(q.values().row(1).isZero(0));
  CHECK(q.latents.row(1).isZero(0));
  CHECK((q.scales.row(1).array() == 1).all());
  CHECK((q.scales.array() > 0).all());
}

TEST_CASE("GPTQ takes matrices of every awkward size") {
  const std::size_t m = GENERATE(1u, 47u, 49u), k = GENERATE(1u, 63u, 65u);
  const least_squares_scale rule =
      GENERATE(values<least_squares_scale>({per_tensor, per_row, groups_of(32), groups_of(256)}));
  const matrix<float> w = random_matrix<float>(m, k, 15), h = random_hessian<float>(k, 300, 16);
  INFO(m << " x " << k << ", blocks of " << rule.block.rows << " x " << rule.block.cols);
  const calibrated<float> q(w, factor_of(h), rule);
  CHECK(std::ranges::all_of(q.codes, [](int code) { return code >= -1 && code <= 1; }));
  CHECK(error_of<float>(w, q.values(), h) <= error_of<float>(w, nearest(w, rule), h) + 1e-6);
}

TEST_CASE("GPTQ takes empty matrices") {
  arena memory;
  const matrix<float> h = random_hessian<float>(4, 9, 1), none(0, 4);
  gptq{}.quantize<float>(none, factor_of(h), per_row, {{nullptr, 0, 4}, {nullptr, 0, 1}, {}},
                         memory);
}

TEST_CASE("GPTQ takes column-major weights and needs no latents") {
  const matrix<float> w = random_matrix<float>(6, 40, 15), columns = w.transpose();
  const auto factor = factor_of(random_hessian<float>(40, 90, 16));
  const calibrated<float> expected(w, factor, per_row);
  std::vector<std::int8_t> codes(240);
  matrix<float> scales(6, 1);
  arena memory;
  gptq{}.quantize<float>(matrix_view<const float>(columns).transposed(), factor, per_row,
                         {{codes.data(), 6, 40}, scales, {}}, memory);
  CHECK(codes == expected.codes);
  CHECK(scales == expected.scales);
}

TEST_CASE("GPTQ may write the latents over the weights") {
  matrix<float> w = random_matrix<float>(60, 70, 15);
  const auto factor = factor_of(random_hessian<float>(70, 90, 16));
  const calibrated<float> expected(w, factor, groups_of(32));
  std::vector<std::int8_t> codes(60 * 70);
  matrix<float> scales(60, 3);
  arena memory;
  gptq{}.quantize<float>(w, factor, groups_of(32), {{codes.data(), 60, 70}, scales, w}, memory);
  CHECK(codes == expected.codes);
  CHECK(w == expected.latents);
}

TEST_CASE("GPTQ refuses weights and hessians that are not finite") {
  const float bad =
      GENERATE(std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity());
  matrix<float> h = random_hessian<float>(20, 90, 11), w = random_matrix<float>(3, 20, 12);
  const auto factor = factor_of(h);
  w(2, 5) = bad;
  CHECK_THROWS_WITH(calibrated<float>(w, factor, per_row),
                    Catch::Contains("weights") && Catch::Contains("row 2, column 5"));
  CHECK_THROWS_AS(calibrated<float>(w, factor, per_row), numeric_error);
  h(3, 4) = bad;
  CHECK_THROWS_WITH(factor_of(h), Catch::Contains("hessian") && Catch::Contains("row 3, column 4"));
  CHECK_THROWS_AS(factor_of(h), numeric_error);
}

TEST_CASE("GPTQ refuses shapes and options that do not fit") {
  const matrix<float> h = random_hessian<float>(20, 90, 11), w = random_matrix<float>(3, 21, 12);
  CHECK_THROWS_AS(calibrated<float>(w, factor_of(h), per_row), shape_error);
  const matrix<float> fits = w.leftCols(20);
  CHECK_THROWS_AS(calibrated<float>(fits, factor_of(h), per_row, {.block_columns = 0}),
                  config_error);
  CHECK_THROWS_AS(calibrated<float>(fits, factor_of(h), least_squares_scale{.block = {2, 0}}),
                  config_error);
  CHECK_THROWS_AS(factor_of(h, {.damping = -1}), config_error);
  CHECK_THROWS_AS(factor_of<float>(h.leftCols(19)), shape_error);
}
