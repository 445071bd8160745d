// Tests of what the functions on a tape add to their ops.
#include "tern/nn/graph.hpp"

#include <initializer_list>
#include <utility>

#include "tests/gradient_check.hpp"

using namespace tern;
using namespace tern_test;

namespace {

/// Checks the gradients of the sum of y * dy, where y is what record(t) returns. The operands come
/// as pairs of a value and its gradient.
template <class Record>
void check_recorded(tape<double>& t, variable<double> y, const Record& record,
                    const matrix<double>& dy,
                    std::initializer_list<std::pair<matrix<double>*, matrix<double>*>> operands) {
  for (std::size_t r = 0; r < y.rows(); ++r)
    simd::axpy<double>(1, matrix_view<const double>(dy).row(r), y.grad.row(r));
  t.backward();
  const auto loss = [&] {
    tape<double> inference({}, false);
    return weighted_sum<double>(record(inference).value, dy);
  };
  for (const auto& [value, gradient] : operands) check_gradient(loss, *value, *gradient);
}

}  // namespace

TEST_CASE("rms_norm on the tape takes several heads in a row and gains with an offset",
          "[graph][gradient]") {
  const double offset = GENERATE(0.0, 1.0);
  auto x = random_matrix<double>(3, 10, 1), gain = random_matrix<double>(1, 5, 2, 0.3);
  const auto dy = random_matrix<double>(3, 10, 3);
  matrix<double> dx = matrix<double>::Zero(3, 10), dgain = matrix<double>::Zero(1, 5);
  const auto record = [&](tape<double>& t) {
    return graph::rms_norm<double>(t, {x, dx}, {gain, dgain}, 1e-3, offset);
  };
  tape<double> t;
  const auto y = record(t);
  const double rms = std::sqrt(x.row(1).tail(5).squaredNorm() / 5 + 1e-3);
  CHECK(y.value(1, 7) == Approx(x(1, 7) / rms * (offset + gain(0, 2))));
  check_recorded(t, y, record, dy, {{&x, &dx}, {&gain, &dgain}});
}

TEST_CASE("ste on the tape blends the rounded value in, and passes gradients on as they are",
          "[graph]") {
  const double lambda = GENERATE(0.0, 0.25, 1.0);
  auto x = random_matrix<double>(3, 10, 1);
  matrix<double> dx = matrix<double>::Ones(3, 10), rounded = matrix<double>::Zero(3, 10);
  tape<double> t;
  ste<absmean, double>::forward(x, rounded, t.memory());
  const auto y = graph::ste<double>(t, {x, dx}, lambda, absmean{});
  CHECK(y.value(2, 3) == Approx((1 - lambda) * x(2, 3) + lambda * rounded(2, 3)));
  y.grad(2, 3) = 5;
  t.backward();
  CHECK(dx(2, 3) == 6);
  CHECK(dx(0, 0) == 1);
}

TEST_CASE("add and gather_rows on the tape sum the gradients of operands that are used twice",
          "[graph][gradient]") {
  auto a = random_matrix<double>(4, 9, 1), b = random_matrix<double>(4, 9, 2);
  const auto dy = random_matrix<double>(3, 9, 3);
  const std::vector<std::size_t> rows{2, 0, 2};
  matrix<double> da = matrix<double>::Zero(4, 9), db = matrix<double>::Zero(4, 9);
  const auto record = [&](tape<double>& t) {
    const variable<double> left{a, da}, sum = graph::add<double>(t, left, {b, db});
    return graph::gather_rows<double>(t, graph::add<double>(t, sum, left), rows);
  };
  tape<double> t;
  const auto y = record(t);
  CHECK(y.value(1, 7) == 2 * a(0, 7) + b(0, 7));
  check_recorded(t, y, record, dy, {{&a, &da}, {&b, &db}});
}

TEST_CASE("packed_linear on the tape takes weights of different formats", "[graph]") {
  const std::size_t n = 3, k = 80;
  const auto x = random_matrix<float>(n, k, 1);
  const auto packed = [&]<class Format>(Format, std::size_t m, std::size_t seed) {
    const auto w = random_matrix<float>(m, k, seed);
    return tern::shared_weights<float>(tern::ternary_weights<Format>(w, tern::absmean{}));
  };
  const auto a = packed(tern::two_bit{}, 40, 2), b = packed(tern::two_bit{}, 17, 3),
             c = packed(tern::base3{}, 33, 4), d = packed(tern::two_bit{}, 16, 5);
  const auto bias = random_matrix<float>(1, 17, 6);
  tern::matrix<float> in = x, bias_value = bias;
  const auto products = [&](auto... operand) {
    tern::tape<float> t({}, false);
    const auto y = tern::graph::packed_linear(t, tern::variable<float>{in, {}},
                                              std::array{operand...}, tern::absmax_int8{});
    std::vector<std::vector<float>> all;
    for (const auto& v : y) all.emplace_back(v.value.data, v.value.data + v.value.size());
    return all;
  };
  using operand = tern::graph::packed_operand<float>;
  const tern::variable<float> with{bias_value, {}};
  const auto together = products(operand{a, {}}, operand{b, with}, operand{c, {}}, operand{d, {}});
  CHECK(together[0] == products(operand{a, {}})[0]);
  CHECK(together[1] == products(operand{b, with})[0]);
  CHECK(together[2] == products(operand{c, {}})[0]);
  CHECK(together[3] == products(operand{d, {}})[0]);
}
