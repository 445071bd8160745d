// BitLinear with scales as parameters: ParetoQ's SEQ in PyTorch, the gradient as it is defined, the
// bits of packed inference, any number of threads.
#include "tern/nn/scaled_bit_linear.hpp"

#include <cmath>
#include <vector>

#include "tern/core/thread_pool.hpp"
#include "tern/pack/ternary_weights.hpp"
#include "tests/gradient_check.hpp"
#include "tests/oracle/scaled_bit_linear.inc"

using tern::clipped_gradient;
using tern::extents;
using tern_test::largest_difference;
using tern_test::random_matrix;
using tern_test::values;

namespace {

constexpr std::size_t x_rows = 9, x_cols = 150, y_cols = 37;

template <class T>
tern::matrix<T> positive_scales(extents block) {
  const extents size = tern::scale_extents({y_cols, x_cols}, block);
  tern::matrix<T> s = random_matrix<T>(size.rows, size.cols, 5, 0.2);
  return (s.array().abs() + T(0.3)).matrix();
}

const auto blocks = [] {
  return GENERATE(extents{y_cols, x_cols}, extents{1, x_cols}, extents{1, 64}, extents{16, 50});
};

}  // namespace

TEST_CASE("scaled_bit_linear with a scale for each row is ParetoQ's SEQ", "[scaled_bit_linear]") {
  namespace v = scaled_bit_linear_values;
  using layer = tern::scaled_bit_linear<double>;
  const auto x = values<double>(v::x, 5, 24), w = values<double>(v::w, 7, 24),
             scales = values<double>(v::scales, 7, 1), dy = values<double>(v::dy, 5, 7);
  tern::matrix<double> y(5, 7), dx = tern::matrix<double>::Zero(5, 24),
                                dw = tern::matrix<double>::Zero(7, 24),
                                dscales = tern::matrix<double>::Zero(7, 1);
  tern::arena memory;
  const auto s = layer::make_saved(memory, 5, 24, 7, {1, 24});
  layer::forward(x, w, scales, {}, y, s, memory);
  layer::backward(dy, w, s, dx, dw, dscales, {}, memory, {}, tern::precision::exact,
                  clipped_gradient::none);
  CHECK(largest_difference(y, v::y) < 1e-13);
  CHECK(largest_difference(dx, v::dx) < 1e-13);
  CHECK(largest_difference(dw, v::dw) < 1e-13);
  CHECK(largest_difference(dscales, v::dscales) < 1e-13);
}

TEST_CASE("the gradients of scaled_bit_linear are those of its definition",
          "[scaled_bit_linear][gradient]") {
  using layer = tern::scaled_bit_linear<double>;
  const extents block = blocks();
  const auto clipped = GENERATE(clipped_gradient::straight, clipped_gradient::none);
  const auto x = random_matrix<double>(x_rows, x_cols, 1),
             w = random_matrix<double>(y_cols, x_cols, 2, 0.5),
             dy = random_matrix<double>(x_rows, y_cols, 3);
  const auto scales = positive_scales<double>(block);
  tern::matrix<double> y(x_rows, y_cols), dx = tern::matrix<double>::Zero(x_rows, x_cols),
                                          dw = tern::matrix<double>::Zero(y_cols, x_cols),
                                          ds = 0 * scales;
  std::vector<double> db(y_cols);
  tern::arena memory;
  const auto s = layer::make_saved(memory, x_rows, x_cols, y_cols, block);
  layer::forward(x, w, scales, {}, y, s, memory);
  layer::backward(dy, w, s, dx, dw, ds, db, memory, {}, tern::precision::exact, clipped);

  const tern::matrix_view<const double> dyv(dy), wv(w), sv(scales), dwv(dw), dxv(dx);
  tern::matrix<double> expected = 0 * scales;
  const tern::matrix_view<double> ev(expected);
  double worst_w = 0;
  std::size_t outside = 0;
  for (std::size_t r = 0; r < y_cols; ++r)
    for (std::size_t c = 0; c < x_cols; ++c) {
      double g = 0;
      for (std::size_t i = 0; i < x_rows; ++i) g += dyv(i, r) * s.x_codes(i, c) * s.x_scales[i];
      const double ratio = wv(r, c) / sv(r / block.rows, c / block.cols);
      const double code = std::clamp(std::nearbyint(ratio), -1.0, 1.0);
      const bool inside = std::abs(ratio) < 1.5;
      outside += !inside;
      ev(r / block.rows, c / block.cols) += g * (inside ? code - ratio : code);
      const bool passes = inside || clipped == clipped_gradient::straight;
      worst_w = std::max(worst_w, std::abs(dwv(r, c) - (passes ? g : 0)));
    }
  CHECK((outside > 100 && outside < y_cols * x_cols / 2));
  CHECK(worst_w < 1e-12);
  CHECK((ds - expected).cwiseAbs().maxCoeff() < 1e-10);
  double worst_x = 0;
  for (std::size_t i = 0; i < x_rows; ++i)
    for (std::size_t c = 0; c < x_cols; ++c) {
      double sum = 0;
      for (std::size_t r = 0; r < y_cols; ++r)
        sum += dyv(i, r) * s.w_codes(r, c) * sv(r / block.rows, c / block.cols);
      worst_x = std::max(worst_x, std::abs(dxv(i, c) - sum));
    }
  CHECK(worst_x < 1e-12);
  for (std::size_t r = 0; r < y_cols; ++r)
    CHECK(db[r] == Approx(dy.col(static_cast<int>(r)).sum()).margin(1e-12));

  // Gradients are added, and those that are not wanted are left out.
  layer::backward(dy, w, s, {}, {}, ds, {}, memory, {}, tern::precision::exact, clipped);
  CHECK((ds - 2 * expected).cwiseAbs().maxCoeff() < 1e-10);
}

TEST_CASE("where every weight is clipped, the gradient of the scales is that of differences",
          "[scaled_bit_linear][gradient]") {
  using layer = tern::scaled_bit_linear<double>;
  const extents block = blocks();
  const auto x = random_matrix<double>(x_rows, x_cols, 1),
             dy = random_matrix<double>(x_rows, y_cols, 3);
  const auto scales = positive_scales<double>(block);
  tern::matrix<double> w = random_matrix<double>(y_cols, x_cols, 2);
  w = w.unaryExpr([](double v) { return v < 0 ? -5.0 : 5.0; });
  const auto loss = [&](const tern::matrix<double>& at) {
    tern::arena memory;
    tern::matrix<double> y(x_rows, y_cols);
    const auto s = layer::make_saved(memory, x_rows, x_cols, y_cols, block);
    layer::forward(x, w, at, {}, y, s, memory);
    return (y.array() * dy.array()).sum();
  };
  tern::arena memory;
  tern::matrix<double> y(x_rows, y_cols), ds = 0 * scales;
  const auto s = layer::make_saved(memory, x_rows, x_cols, y_cols, block);
  layer::forward(x, w, scales, {}, y, s, memory);
  layer::backward(dy, w, s, {}, {}, ds, {}, memory);
  for (Eigen::Index i = 0; i < std::min<Eigen::Index>(scales.size(), 5); ++i) {
    tern::matrix<double> up = scales, down = scales;
    up.data()[i] += 1e-4;
    down.data()[i] -= 1e-4;
    CHECK(ds.data()[i] == Approx((loss(up) - loss(down)) / 2e-4).epsilon(1e-8));
  }
}

TEST_CASE("scaled_bit_linear and packed inference agree to the bit", "[scaled_bit_linear]") {
  using layer = tern::scaled_bit_linear<float>;
  const extents block = blocks();
  const auto x = random_matrix<float>(x_rows, x_cols, 1),
             w = random_matrix<float>(y_cols, x_cols, 2, 0.5);
  const auto scales = positive_scales<float>(block);
  const std::vector<float> bias(y_cols, 0.25f);
  tern::matrix<float> y(x_rows, y_cols), deployed(x_rows, y_cols);
  tern::arena memory;
  const auto s = layer::make_saved(memory, x_rows, x_cols, y_cols, block);
  layer::forward(x, w, scales, bias, y, s, memory);
  const tern::ternary_weights<tern::two_bit> packed(w, tern::given_scales<float>{scales, block});
  tern::packed_linear<float>::forward(x, packed.view(), bias, deployed, memory);
  CHECK(deployed == y);
}

TEST_CASE("scaled_bit_linear has the same bits for any number of threads",
          "[scaled_bit_linear][threads]") {
  using layer = tern::scaled_bit_linear<float>;
  const extents block = blocks();
  const auto x = random_matrix<float>(x_rows, x_cols, 1),
             w = random_matrix<float>(y_cols, x_cols, 2, 0.5),
             dy = random_matrix<float>(x_rows, y_cols, 3);
  const auto scales = positive_scales<float>(block);
  const auto results = [&](tern::executor_ref ex) {
    tern::arena memory;
    tern::matrix<float> y(x_rows, y_cols), dw = 0 * w, ds = 0 * scales;
    const auto s = layer::make_saved(memory, x_rows, x_cols, y_cols, block);
    layer::forward(x, w, scales, {}, y, s, memory, ex);
    layer::backward(dy, w, s, {}, dw, ds, {}, memory, ex);
    return std::vector<tern::matrix<float>>{y, dw, ds};
  };
  tern::thread_pool two(2), three(3);
  const auto serial = results({});
  CHECK(results(two) == serial);
  CHECK(results(three) == serial);
}
