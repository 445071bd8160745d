// Tests of BitLinear: integer products, PyTorch's fake quantization and its straight-through
// gradient, the bits of packed inference, any scale block, any layout, any number of threads.
#include "tern/nn/bit_linear.hpp"

#include <vector>

#include "tern/core/executor.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/pack/ternary_weights.hpp"
#include "tern/quant/block.hpp"
#include "tern/quant/per_channel.hpp"
#include "tests/gradient_check.hpp"
#include "tests/oracle/nn.inc"

using tern_test::largest_difference;
using tern_test::random_matrix;
using tern_test::values;

namespace {

/// A policy of a user. A trit is the sign of a weight above a fixed threshold, and Rows x Cols
/// weights share a scale.
template <std::size_t Rows, std::size_t Cols>
struct threshold {
  static tern::extents scale_block(std::size_t, std::size_t cols) {
    return {Rows, Cols == 0 ? cols : Cols};
  }
  template <class T>
  void quantize(tern::matrix_view<const T> w, tern::matrix_view<std::int8_t> codes,
                tern::matrix_view<T> scales, tern::executor_ref) const {
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c)
        codes(r, c) = static_cast<std::int8_t>((w(r, c) > T(0.01)) - (w(r, c) < T(-0.01)));
    for (std::size_t r = 0; r < scales.rows; ++r)
      for (std::size_t c = 0; c < scales.cols; ++c)
        scales(r, c) = T(0.5) + static_cast<T>(r) + T(0.25) * static_cast<T>(c);
  }
};

template <class T, class WeightQ>
struct fixture {
  using layer = tern::bit_linear<T, WeightQ>;
  static constexpr std::size_t n = 19, k = 83, m = 37;
  tern::matrix<T> x = random_matrix<T>(n, k, 1), w = random_matrix<T>(m, k, 2, 0.02),
                  dy = random_matrix<T>(n, m, 4), y = dy;
  std::vector<T> bias = std::vector<T>(m, T(0.25));
  tern::arena memory;
  typename layer::saved saved = layer::make_saved(memory, n, k, m);

  T x_at(std::size_t i, std::size_t j) const {
    return static_cast<T>(saved.x_codes(i, j)) * saved.x_scales[i];
  }
  T w_at(std::size_t i, std::size_t j) const {
    const auto block = WeightQ::scale_block(m, k);
    return static_cast<T>(saved.w_codes(i, j)) * saved.w_scales(i / block.rows, j / block.cols);
  }
};

}  // namespace

TEMPLATE_PRODUCT_TEST_CASE(
    "training and packed inference agree to the bit with the definition", "[bit_linear]", std::pair,
    ((float, tern::absmean), (float, tern::per_channel), (float, tern::block<64>),
     (float, tern::block<128>), (float, tern::block<256>), (double, tern::block<64>),
     (double, tern::absmean), (float, (threshold<1, 0>)), (float, (threshold<16, 16>)))) {
  using T = typename TestType::first_type;
  using WeightQ = typename TestType::second_type;
  using layer = tern::bit_linear<T, WeightQ>;
  tern::thread_pool pool(3);
  for (const std::size_t k : {1u, 64u, 83u, 300u})
    for (const std::size_t n : {1u, 2u, 3u, 8u, 19u}) {
      CAPTURE(n, k);
      const std::size_t m = 37;
      const auto x = random_matrix<T>(n, k, 1), w = random_matrix<T>(m, k, 2, 0.02);
      const std::vector<T> bias(m, T(0.25));
      tern::matrix<T> y(n, m), deployed(n, m), expected(n, m);
      tern::arena memory;
      const auto s = layer::make_saved(memory, n, k, m);
      layer::forward(x, w, bias, y, s, memory, pool);

      const tern::ternary_weights<tern::two_bit, T> packed(w, WeightQ{});
      tern::packed_linear<T>::forward(x, packed.view(), bias, deployed, memory);
      CHECK(deployed == y);

      const tern::extents block = WeightQ::scale_block(m, k);
      const tern::matrix_view<T> expected_view(expected);
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < m; ++j) {
          volatile T total = 0;  // volatile, so that the compiler contracts nothing
          for (std::size_t first = 0; first < k; first += block.cols) {
            int sum = 0;
            for (std::size_t c = first; c < std::min(k, first + block.cols); ++c)
              sum += s.x_codes(i, c) * s.w_codes(j, c);
            const T w_scale = s.w_scales(j / block.rows, first / block.cols);
            volatile T part = block.cols < k ? w_scale : s.x_scales[i] * w_scale;
            part = static_cast<T>(sum) * part;
            total = total + part;
          }
          if (block.cols < k) total = total * s.x_scales[i];
          expected_view(i, j) = total + bias[j];
        }
      CHECK(expected == y);
    }
}

TEMPLATE_TEST_CASE("bit_linear takes any scale block and passes gradients straight through",
                   "[bit_linear][gradient]", tern::absmean, tern::per_channel, tern::block<32>,
                   (threshold<16, 16>)) {
  fixture<double, TestType> f;
  using layer = typename decltype(f)::layer;
  layer::forward(f.x, f.w, f.bias, f.y, f.saved, f.memory);
  tern::matrix<double> x(f.n, f.k), w(f.m, f.k), dx = tern::matrix<double>::Zero(f.n, f.k),
                                                 dw = tern::matrix<double>::Zero(f.m, f.k);
  std::vector<double> db(f.m);
  const tern::matrix_view<double> xq(x), wq(w);
  for (std::size_t i = 0; i < f.n; ++i)
    for (std::size_t j = 0; j < f.k; ++j) xq(i, j) = f.x_at(i, j);
  for (std::size_t i = 0; i < f.m; ++i)
    for (std::size_t j = 0; j < f.k; ++j) wq(i, j) = f.w_at(i, j);
  const tern::matrix<double> y = (x * w.transpose()).array() + 0.25;
  CHECK((f.y - y).cwiseAbs().maxCoeff() < 1e-12 * y.cwiseAbs().maxCoeff());

  layer::backward(f.dy, f.saved, dx, dw, db, f.memory);
  CHECK((dx - f.dy * w).cwiseAbs().maxCoeff() < 1e-11);
  CHECK((dw - f.dy.transpose() * x).cwiseAbs().maxCoeff() < 1e-11);
  for (std::size_t i = 0; i < f.m; ++i)
    CHECK(db[i] == Approx(f.dy.col(static_cast<int>(i)).sum()).margin(1e-12));
  layer::backward(f.dy, f.saved, {}, dw, {}, f.memory);
  CHECK((dw - 2 * f.dy.transpose() * x).cwiseAbs().maxCoeff() < 1e-11);
}

TEST_CASE("bit_linear equals PyTorch's fake quantization", "[bit_linear]") {
  namespace v = bit_linear_values;
  const auto x = values<double>(v::x, 4, 20), w = values<double>(v::w, 6, 20),
             gain = values<double>(v::gain, 1, 20), bias = values<double>(v::bias, 1, 6),
             dy = values<double>(v::dy, 4, 6);
  const auto row = [](const auto& m) { return tern::matrix_view<const double>(m).row(0); };
  tern::matrix<double> y(4, 6), dx = tern::matrix<double>::Zero(4, 20),
                                dw = tern::matrix<double>::Zero(6, 20);
  std::vector<double> dbias(6), dgain(20);
  tern::arena memory;
  SECTION("without a norm") {
    using layer = tern::bit_linear<double>;
    const auto s = layer::make_saved(memory, 4, 20, 6);
    layer::forward(x, w, row(bias), y, s, memory);
    layer::backward(dy, s, dx, dw, dbias, memory);
    CHECK(largest_difference(y, v::plain_y) < 1e-13);
    CHECK(largest_difference(dx, v::plain_dx) < 1e-13);
    CHECK(largest_difference(dw, v::plain_dw) < 1e-13);
    CHECK(largest_difference(dbias, v::plain_dbias) < 1e-13);
  }
  SECTION("with SubLN") {
    using layer = tern::bit_linear<double, tern::absmean, tern::absmax_int8, tern::sub_ln<double>>;
    const auto s = layer::make_saved(memory, 4, 20, 6);
    layer::forward(x, row(gain), 1e-5, w, row(bias), y, s, memory);
    layer::backward(dy, x, row(gain), s, dx, dgain, dw, dbias, memory);
    CHECK(largest_difference(y, v::sub_ln_y) < 1e-13);
    CHECK(largest_difference(dx, v::sub_ln_dx) < 1e-13);
    CHECK(largest_difference(dgain, v::sub_ln_dgain) < 1e-13);
    CHECK(largest_difference(dw, v::sub_ln_dw) < 1e-13);
    CHECK(largest_difference(dbias, v::sub_ln_dbias) < 1e-13);
  }
}

TEST_CASE("bit_linear is bit-identical for any layout and number of threads",
          "[bit_linear][threads]") {
  using layer = tern::bit_linear<float>;
  const std::size_t n = 300, k = 250, m = 270;
  const auto x = random_matrix<float>(n, k, 1), w = random_matrix<float>(m, k, 2),
             dy = random_matrix<float>(n, m, 3);
  const Eigen::MatrixXf x_columns = x, w_columns = w;
  const std::vector<float> b(m, 0.5f);
  const auto results = [&](tern::matrix_view<const float> in,
                           tern::matrix_view<const float> weights, tern::executor_ref ex) {
    tern::arena memory;
    const auto s = layer::make_saved(memory, n, k, m);
    tern::matrix<float> y(n, m), dx = tern::matrix<float>::Zero(n, k),
                                 dw = tern::matrix<float>::Zero(m, k);
    layer::forward(in, weights, b, y, s, memory, ex);
    layer::backward(dy, s, dx, dw, {}, memory, ex);
    return std::vector{y, dx, dw};
  };
  const auto serial = results(x, w, {});
  for (const std::size_t threads : {1u, 2u, 3u}) {
    tern::thread_pool pool(threads);
    CHECK(results(x, w, pool) == serial);
  }
  CHECK(results(x_columns, w_columns, {}) == serial);
}

TEST_CASE("bit_linear allocates nothing after its first step", "[bit_linear]") {
  using layer = tern::bit_linear<float>;
  const auto x = random_matrix<float>(9, 33, 1), w = random_matrix<float>(17, 33, 2);
  tern::matrix<float> y(9, 17), dx = tern::matrix<float>::Zero(9, 33), dw(17, 33);
  dw.setZero();
  tern::arena memory(std::size_t{1} << 16);
  const auto s = layer::make_saved(memory, 9, 33, 17);
  const auto position = memory.mark();
  for (int step = 0; step < 3; ++step) {
    layer::forward(x, w, {}, y, s, memory);
    layer::backward(y, s, dx, dw, {}, memory);
    CHECK(memory.mark().chunk == position.chunk);
    CHECK(memory.mark().used == position.used);
  }
  CHECK(memory.system_allocations() == 1);
}
