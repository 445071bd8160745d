// Compares the vector loops with plain ones: tails of every size, any stride and alignment, in
// place.
#include "tern/core/simd.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "tern/core/random.hpp"
#include "tests/support.hpp"

namespace simd = tern::simd;
using tern::row_view;

namespace {

/// n random numbers that are `stride` apart. The first is `offset` elements into the memory.
template <class T>
struct spread {
  std::vector<T> memory;
  std::size_t n, stride, offset;

  spread(std::size_t n_, std::size_t stride_, std::size_t offset_, std::uint64_t seed)
      : memory(n_ * stride_ + offset_ + 1, T(77)), n(n_), stride(stride_), offset(offset_) {
    tern::philox random(seed);
    for (std::size_t i = 0; i < n; ++i) view()[i] = static_cast<T>(random.normal());
  }
  row_view<T> view() { return {memory.data() + offset, n, stride}; }
  row_view<const T> in() { return view(); }
  /// Whether the elements between and after those of the view have their first values.
  bool gaps_untouched() {
    for (std::size_t i = 0; i < memory.size(); ++i)
      if ((i < offset || (i - offset) % stride != 0 || (i - offset) / stride >= n) &&
          memory[i] != T(77))
        return false;
    return true;
  }
};

}  // namespace

TEMPLATE_TEST_CASE("transform and axpy equal plain loops", "[simd]", float, double) {
  using T = TestType;
  for (const std::size_t stride : {1u, 3u})
    for (std::size_t n = 0; n <= 70; ++n) {
      spread<T> a(n, stride, n % 5, 1), b(n, 1, 1, 2), y(n, stride, 2, 3), z = y;
      simd::transform(
          y.view(), [](const auto& u, const auto& v) { return u * v - u; }, a.in(), b.in());
      bool equal = true;
      for (std::size_t i = 0; i < n; ++i)
        equal = equal && std::abs(y.view()[i] - (a.in()[i] * b.in()[i] - a.in()[i])) < T(1e-6);
      CHECK(equal);
      CHECK(y.gaps_untouched());

      spread<T> before = z;
      simd::axpy(T(0.5), b.in(), z.view());
      for (std::size_t i = 0; i < n; ++i)
        equal = equal && std::abs(z.view()[i] - (before.view()[i] + b.in()[i] / 2)) < T(1e-6);
      CHECK(equal);
      CHECK(z.gaps_untouched());

      simd::transform(
          a.view(), [](const auto& u) { return u + u; }, a.in());  // writes in place
      CHECK(a.gaps_untouched());
      spread<T> once(n, stride, n % 5, 1);
      for (std::size_t i = 0; i < n; ++i) equal = equal && a.in()[i] == 2 * once.in()[i];
      CHECK(equal);
    }
}

TEMPLATE_TEST_CASE("transform writes several rows in one pass, even its inputs", "[simd]", float,
                   double) {
  using T = TestType;
  for (const std::size_t stride : {1u, 3u})
    for (std::size_t n = 0; n <= 70; ++n) {
      spread<T> a(n, stride, n % 3, 1), b(n, 1, 1, 2);
      const spread<T> a0 = a, b0 = b;
      simd::transform(
          std::array{a.view(), b.view()},
          [](const auto& u, const auto& v) {
            return std::array{v + v, -u};
          },
          a.in(), b.in());
      bool equal = true;
      for (std::size_t i = 0; i < n; ++i)
        equal = equal && a.in()[i] == 2 * b0.memory[1 + i] &&
                b.in()[i] == -a0.memory[n % 3 + i * stride];
      CHECK(equal);
      CHECK(a.gaps_untouched());
      CHECK(b.gaps_untouched());
    }
}

TEMPLATE_TEST_CASE("sums, dots and maxima equal plain loops", "[simd]", float, double) {
  using T = TestType;
  const double tolerance = std::is_same_v<T, float> ? 1e-5 : 1e-13;
  for (const std::size_t stride : {1u, 2u})
    for (std::size_t n = 0; n <= 150; ++n) {
      spread<T> a(n, stride, 1, n + 1), b(n, 1, 0, n + 1000);
      double sum = 0, dot = 0, cubes = 0;
      T largest = 0;
      for (std::size_t i = 0; i < n; ++i) {
        const double u = static_cast<double>(a.in()[i]), v = static_cast<double>(b.in()[i]);
        sum += u;
        dot += u * v;
        cubes += u * u * u;
        largest = std::max(largest, std::abs(a.in()[i]));
      }
      const double slack = tolerance * static_cast<double>(n + 1);
      CHECK(static_cast<double>(simd::sum(a.in())) == Approx(sum).margin(slack));
      CHECK(static_cast<double>(simd::dot(a.in(), b.view())) == Approx(dot).margin(slack));
      CHECK(static_cast<double>(simd::sum([](const auto& u) { return u * u * u; }, a.view())) ==
            Approx(cubes).margin(10 * slack));
      CHECK(simd::max_abs(a.in()) == largest);
    }
}

TEST_CASE("padding lanes never influence a result", "[simd]") {
  for (std::size_t n = 1; n < 40; ++n) {
    const std::vector<float> ones(n, 1.0f), negative(n, -3.0f);
    // A lane past the end would add exp(0) = 1.
    const auto total =
        simd::sum([](const auto& v) { return simd::exp(v - v); }, row_view<const float>(ones));
    CHECK(total == static_cast<float>(n));
    CHECK(simd::fold(
              -std::numeric_limits<float>::infinity(), simd::maximum{},
              [](const auto& v) { return v; }, row_view<const float>(negative)) == -3.0f);
  }
}

TEMPLATE_TEST_CASE("a fold's bits depend on neither alignment nor stride", "[simd]", float,
                   double) {
  using T = TestType;
  for (const std::size_t n : {5u, 64u, 133u}) {
    spread<T> at(n, 1, 0, 8);
    const T sum = simd::sum(at.in());
    for (const std::size_t stride : {1u, 2u, 7u})
      for (std::size_t offset = 0; offset < 9; ++offset) {
        spread<T> a(n, stride, offset, 8);
        CHECK(simd::sum(a.in()) == sum);
        CHECK(simd::dot(a.in(), at.in()) == simd::dot(at.in(), at.in()));
      }
  }
}

TEST_CASE("norm is finite where a number can hold it", "[simd]") {
  const std::vector<float> x(100, 1e30f), small(100, 3.0f);
  CHECK(simd::norm(row_view<const float>(x)) == Approx(1e31));
  CHECK(simd::norm(row_view<const float>(small)) == 30);
  CHECK(simd::norm(row_view<const float>{}) == 0);
  const std::vector<double> wide(4, 1e300);
  CHECK(simd::norm(row_view<const double>(wide)) == Approx(2e300));
}

TEST_CASE("nearbyint rounds half to even and keeps what is not finite", "[simd]") {
  const double inf = std::numeric_limits<double>::infinity();
  for (const double v : {0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 0.49999999999999994,
                         4503599627370497.5, 9007199254740993.0, -1e300, inf, -inf}) {
    const auto got = simd::nearbyint<double>(simd::batch<double>(v)).get(0);
    CHECK(got == std::nearbyint(v));
    CHECK(std::signbit(got) == std::signbit(v));
  }
  CHECK(std::isnan(simd::nearbyint<float>(simd::batch<float>(std::nanf(""))).get(0)));
}
