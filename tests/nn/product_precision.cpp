// What a tape does whose products are rounded: the forward pass of a ternary linear keeps its bits,
// and all else errs by no more than the rounding of operands allows.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "tern/isa/level.hpp"
#include "tern/nn/graph.hpp"
#include "tern/quant/absmax_int8.hpp"
#include "tern/quant/absmean.hpp"
#include "tern/quant/block.hpp"
#include "tern/quant/per_channel.hpp"
#include "tests/gradient_check.hpp"

using namespace tern;
using tern_test::random_matrix;

namespace {

constexpr std::size_t n = 70, k = 300, m = 90;

/// Value and gradients of an op of x (n, k) and w (m, k).
struct results {
  matrix<float> y, dx, dw;
};

template <class Op>
results run(precision products, Op op) {
  auto x = random_matrix<float>(n, k, 1), w = random_matrix<float>(m, k, 2, 0.05);
  const auto dy = random_matrix<float>(n, m, 3);
  results r{{}, matrix<float>::Zero(n, k), matrix<float>::Zero(m, k)};
  tape<float> t({}, true, products);
  const variable<float> y = op(t, variable<float>{x, r.dx}, variable<float>{w, r.dw});
  for (std::size_t i = 0; i < n; ++i)
    simd::axpy<float>(1, matrix_view<const float>(dy).row(i), y.grad.row(i));
  r.y = Eigen::Map<matrix<float>>(y.value.data, n, m);
  t.backward();
  return r;
}

double size_of(const matrix<float>& a) { return a.cast<double>().norm(); }
/// |a - b| / |b| in the Euclidean norm.
double distance(const matrix<float>& a, const matrix<float>& b) {
  return size_of(a - b) / size_of(b);
}

bool cpu_has_unit() { return isa::active() >= isa::level::avx512bf16; }

variable<float> full(tape<float>& t, variable<float> x, variable<float> w) {
  return graph::linear(t, x, w);
}
template <class WeightQ>
variable<float> ternary(tape<float>& t, variable<float> x, variable<float> w) {
  return graph::bit_linear<float>(t, x, w, {}, WeightQ{}, absmax_int8{});
}

}  // namespace

TEST_CASE("the forward pass of a ternary linear has the same bits with bf16 products") {
  CHECK(run(precision::bf16, ternary<absmean>).y == run(precision::exact, ternary<absmean>).y);
}

TEST_CASE("gradients of a linear err by the rounding of operands with bf16 products") {
  struct row {
    const char* name;
    variable<float> (*op)(tape<float>&, variable<float>, variable<float>);
    // The root mean square of a rounding error is 2^-8 / sqrt(3) or less of the number; that of a
    // product of two rounded numbers is sqrt(2) times as much.
    double dx, dw;
  };
  const double one = 0x1p-8 / std::sqrt(3.0), both = std::sqrt(2.0) * one;
  const auto r = GENERATE_REF(values<row>({
      {"full precision", full, both, both},
      {"ternary, codes are exact", ternary<absmean>, one, one},
      {"ternary, a scale for each row", ternary<per_channel>, one, one},
      {"ternary, several scales in a row", ternary<block<256>>, both, one},
  }));
  DYNAMIC_SECTION(r.name) {
    const results exact = run(precision::exact, r.op), rounded = run(precision::bf16, r.op);
    CHECK(distance(rounded.dx, exact.dx) < r.dx);
    CHECK(distance(rounded.dw, exact.dw) < r.dw);
    if (cpu_has_unit()) {
      CHECK(distance(rounded.dx, exact.dx) > 0.5 * r.dx);
      CHECK(distance(rounded.dw, exact.dw) > 0.5 * r.dw);
    }
  }
}

TEMPLATE_TEST_CASE("with precision int8 the input gradient is a sum of codes", "", absmean,
                   per_channel) {
  // Far smaller than activations; a token without gradient.
  matrix<float> dy = 1e-12f * random_matrix<float>(n, m, 3);
  dy.row(5).setZero();
  const auto x = random_matrix<float>(n, k, 1), w = random_matrix<float>(m, k, 2, 0.05);
  matrix<float> y(n, m), dx = 1e-12f * random_matrix<float>(n, k, 4), expected = dx;
  using layer = bit_linear<float, TestType>;
  arena memory;
  const auto s = layer::make_saved(memory, n, k, m);
  layer::forward(x, w, {}, y, s, memory);
  layer::backward(dy, s, dx, {}, {}, memory, {}, precision::int8);

  const std::size_t last_scale = s.w_scales.rows - 1;
  for (Eigen::Index i = 0; i < dy.rows(); ++i) {
    Eigen::RowVectorXf scaled = dy.row(i);
    for (std::size_t c = 0; c < m; ++c)
      scaled[static_cast<Eigen::Index>(c)] *= s.w_scales(std::min(c, last_scale), 0);
    const float largest = scaled.cwiseAbs().maxCoeff();
    for (std::size_t j = 0; j < k; ++j) {
      int sum = 0;
      for (std::size_t c = 0; c < m && largest > 0; ++c) {
        const float code = scaled[static_cast<Eigen::Index>(c)] * (127 / largest);
        sum += static_cast<int>(std::nearbyint(code)) * s.w_codes(c, j);
      }
      volatile float product = static_cast<float>(sum) * (largest / 127);  // rounds before the sum
      expected(i, static_cast<Eigen::Index>(j)) += product;
    }
  }
  CHECK(dx == expected);
}

TEST_CASE("with precision int8 all but the input gradient of a ternary linear is as with bf16") {
  CHECK(run(precision::int8, ternary<absmean>).dw == run(precision::bf16, ternary<absmean>).dw);
  CHECK(run(precision::int8, full).dx == run(precision::bf16, full).dx);
  // Several scales in a row of weights cannot be multiplied into dy.
  CHECK(run(precision::int8, ternary<block<256>>).dx ==
        run(precision::bf16, ternary<block<256>>).dx);
  const results exact = run(precision::exact, ternary<absmean>),
                rounded = run(precision::int8, ternary<absmean>);
  CHECK(distance(rounded.dx, exact.dx) > 0);
  CHECK(distance(rounded.dx, exact.dx) < 0.01);
}

TEST_CASE("a full-precision linear errs by the rounding of operands with bf16 products") {
  const double error = distance(run(precision::bf16, full).y, run(precision::exact, full).y);
  CHECK(error < std::sqrt(2.0 / 3.0) * 0x1p-8);
  CHECK((error > 0) == cpu_has_unit());
}

TEST_CASE("attention with bf16 products errs by a few roundings") {
  constexpr std::size_t tokens = 150, d = 32;
  const attention_shape shape{4, 2, d};
  const std::vector<std::size_t> offsets{0, 20, tokens};
  const auto run_attention = [&](precision products) {
    auto q = random_matrix<float>(tokens, 4 * d, 1), key = random_matrix<float>(tokens, 2 * d, 2),
         v = random_matrix<float>(tokens, 2 * d, 3);
    std::array<matrix<float>, 4> r{matrix<float>(), q * 0, key * 0, v * 0};
    tape<float> t({}, true, products);
    const variable<float> y =
        graph::attention<float>(t, {q, r[1]}, {key, r[2]}, {v, r[3]}, offsets, shape);
    const auto dy = random_matrix<float>(tokens, 4 * d, 4);
    for (std::size_t i = 0; i < tokens; ++i)
      simd::axpy<float>(1, matrix_view<const float>(dy).row(i), y.grad.row(i));
    r[0] = Eigen::Map<matrix<float>>(y.value.data, tokens, 4 * d);
    t.backward();
    return r;
  };
  const auto exact = run_attention(precision::exact), rounded = run_attention(precision::bf16);
  for (std::size_t i = 0; i < exact.size(); ++i) {
    CAPTURE(i);
    CHECK(distance(rounded[i], exact[i]) < 0x1p-7);
    CHECK((rounded[i] != exact[i]) == cpu_has_unit());
  }
}
