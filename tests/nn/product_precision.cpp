// What a tape does whose products are rounded to bf16: the forward pass of a ternary linear keeps
// its bits, and all else errs by no more than the rounding of operands allows.
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
