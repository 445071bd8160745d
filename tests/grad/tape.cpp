// Tests of the tape: order of the backward pass, accumulation, and later steps without any
// allocation.
#include "tern/grad/tape.hpp"

#include <vector>

#include "tern/core/simd.hpp"
#include "tests/allocations.hpp"
#include "tests/gradient_check.hpp"

using tern::matrix_view;
using tern::variable;

namespace {

/// y = a * b, element by element: a small op as a user would write it.
variable<double> multiply(tern::tape<double>& t, variable<double> a, variable<double> b) {
  const variable<double> y = t.make(a.rows(), a.cols());
  const auto product = [](matrix_view<const double> u, matrix_view<const double> v,
                          matrix_view<double> out, bool accumulate) {
    for (std::size_t r = 0; r < out.rows; ++r)
      for (std::size_t c = 0; c < out.cols; ++c)
        out(r, c) = (accumulate ? out(r, c) : 0) + u(r, c) * v(r, c);
  };
  product(a.value, b.value, y.value, false);
  t.record([=] {
    if (a.grad) product(y.grad, b.value, a.grad, true);
    if (b.grad) product(y.grad, a.value, b.grad, true);
  });
  return y;
}

}  // namespace

TEST_CASE("the tape calls closures backwards and values accumulate gradients", "[tape]") {
  auto x = tern_test::random_matrix<double>(3, 4, 1), w = tern_test::random_matrix<double>(3, 4, 2);
  tern::tape<double> t;
  const auto f = [&](tern::matrix<double>& dx, tern::matrix<double>& dw) {
    t.reset();
    const variable<double> vx{x, dx}, vw{w, dw};
    const variable<double> xx = multiply(t, vx, vx);                 // x^2
    const variable<double> y = multiply(t, xx, vw);                  // x^2 w
    const variable<double> z = multiply(t, y, multiply(t, vx, vx));  // x^4 w
    double sum = 0;
    for (std::size_t i = 0; i < z.value.size(); ++i) {
      sum += z.value.data[i];
      z.grad.data[i] = 1;
    }
    return sum;
  };
  tern::matrix<double> dx = tern::matrix<double>::Zero(3, 4), dw = dx, unused = dx, unused_too = dx;
  f(dx, dw);
  CHECK(t.size() == 4);
  t.backward();
  CHECK(t.size() == 0);
  CHECK((dx.array() - 4 * x.array().cube() * w.array()).abs().maxCoeff() < 1e-12);
  CHECK((dw.array() - x.array().pow(4)).abs().maxCoeff() < 1e-12);
  tern_test::check_gradient([&] { return f(unused, unused_too); }, x, dx);
}

TEST_CASE("a tape allocates nothing after its first step", "[tape]") {
  auto x = tern_test::random_matrix<double>(30, 40, 1);
  tern::matrix<double> dx = tern::matrix<double>::Zero(30, 40);
  tern::tape<double> t;
  const auto step = [&] {
    t.reset();
    const variable<double> leaf{x, dx};
    variable<double> y = leaf;
    for (int i = 0; i < 50; ++i) {
      y = multiply(t, y, leaf);
      t.record([&t] { t.memory().allocate<double>(5000); });  // a temporary of a backward pass
    }
    t.backward();
  };
  step();
  const std::size_t taken = t.memory().system_allocations(), before = tern_test::allocations;
  CHECK(taken > 0);
  for (int i = 0; i < 10; ++i) step();
  const std::size_t after = tern_test::allocations;
  CHECK(after == before);
  CHECK(t.memory().system_allocations() == taken);
  std::vector<int> seen(3);
  CHECK(tern_test::allocations > after);  // shows that the counter works
}

TEST_CASE("a tape that does not record holds values only", "[tape]") {
  tern::tape<double> t({}, false);
  const variable<double> v = t.make(2, 3);
  CHECK(v.value);
  CHECK(!v.grad);
  bool ran = false;
  t.record([&ran] { ran = true; });
  t.backward();
  CHECK(!ran);
  CHECK(t.size() == 0);
}

TEST_CASE("gradients start at zero in reused memory", "[tape]") {
  tern::tape<double> t;
  for (int i = 0; i < 3; ++i) {
    t.reset();
    const variable<double> v = t.make(4, 4);
    for (std::size_t j = 0; j < 16; ++j) {
      REQUIRE(v.grad.data[j] == 0);
      v.grad.data[j] = v.value.data[j] = 5;
    }
  }
}
