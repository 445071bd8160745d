#include "tern/infer/cache_products.hpp"

#include <cmath>
#include <vector>

#include "tests/support.hpp"

using namespace tern;

namespace {

/// Values that every storage represents exactly.
template <class E>
E stored(int v) {
  if constexpr (std::same_as<E, std::uint16_t>)
    return to_f16(static_cast<float>(v));
  else
    return static_cast<E>(v);
}

template <class E>
struct operands {
  std::size_t heads, n, d, d_stride, s_stride;
  std::vector<float> q, p, scales;
  std::vector<E> x;
  std::vector<int> digits;

  operands(std::size_t heads_, std::size_t n_, std::size_t d_)
      : heads(heads_), n(n_), d(d_), d_stride(d + 3), s_stride(n + 2) {
    for (std::size_t i = 0; i < heads * d_stride; ++i)
      q.push_back(std::sin(0.37f * static_cast<float>(i)));
    for (std::size_t i = 0; i < heads * s_stride; ++i)
      p.push_back(std::cos(0.53f * static_cast<float>(i)));
    for (std::size_t j = 0; j < n; ++j) scales.push_back(0.5f + static_cast<float>(j % 7));
    for (std::size_t i = 0; i < n * d; ++i) {
      digits.push_back(static_cast<int>(i * i % 241) - 120);
      x.push_back(stored<E>(digits.back()));
    }
  }
  [[nodiscard]] stored_rows<E> rows(std::size_t count) const {
    return {x.data(), count, d, std::same_as<E, std::int8_t> ? scales.data() : nullptr};
  }
  [[nodiscard]] double value(std::size_t j, std::size_t c) const {
    return digits[j * d + c] * (std::same_as<E, std::int8_t> ? double{scales[j]} : 1.0);
  }
};

template <class E>
void compare(const operands<E>& o, isa::level level) {
  const auto products = cache_products::products<E>.at(level);
  INFO(isa::name(level) << ", " << o.heads << " heads, " << o.n << " positions of " << o.d);
  constexpr float untouched = 77;
  std::vector<float> s(o.heads * o.s_stride, untouched), y(o.heads * o.d_stride, untouched);
  products.scores(o.q.data(), o.d_stride, o.heads, o.rows(o.n), 0.25f, s.data(), o.s_stride);
  products.mix(o.p.data(), o.s_stride, o.heads, o.rows(o.n), y.data(), o.d_stride, false);
  std::size_t wrong = 0;
  const auto check = [&](float got, double expected, double size) {
    wrong += !(std::abs(got - expected) <= 2e-6 * size);
  };
  for (std::size_t h = 0; h < o.heads; ++h) {
    for (std::size_t j = 0; j < o.n; ++j) {
      double sum = 0, size = 0;
      for (std::size_t c = 0; c < o.d; ++c) {
        sum += 0.25 * o.q[h * o.d_stride + c] * o.value(j, c);
        size += 0.25 * std::abs(o.value(j, c));
      }
      check(s[h * o.s_stride + j], sum, size);
    }
    for (std::size_t c = 0; c < o.d; ++c) {
      double sum = 0, size = 0;
      for (std::size_t j = 0; j < o.n; ++j) {
        sum += o.p[h * o.s_stride + j] * o.value(j, c);
        size += std::abs(o.value(j, c));
      }
      check(y[h * o.d_stride + c], sum, size);
    }
    for (std::size_t j = o.n; j < o.s_stride; ++j) wrong += s[h * o.s_stride + j] != untouched;
    for (std::size_t c = o.d; c < o.d_stride; ++c) wrong += y[h * o.d_stride + c] != untouched;
  }
  CHECK(wrong == 0);

  // Computing head by head and in two pieces gives the same bits.
  std::vector<float> s2(s.size(), untouched), y2(y.size(), untouched);
  const std::size_t cut = o.n / 2;
  stored_rows<E> rest = o.rows(o.n);
  rest.data += cut * o.d;
  rest.rows -= cut;
  if (rest.scales != nullptr) rest.scales += cut;
  for (std::size_t h = 0; h < o.heads; ++h) {
    const float *q = &o.q[h * o.d_stride], *p = &o.p[h * o.s_stride];
    float *to = &s2[h * o.s_stride], *sum = &y2[h * o.d_stride];
    products.scores(q, o.d_stride, 1, o.rows(cut), 0.25f, to, o.s_stride);
    products.scores(q, o.d_stride, 1, rest, 0.25f, to + cut, o.s_stride);
    products.mix(p, o.s_stride, 1, o.rows(cut), sum, o.d_stride, false);
    products.mix(p + cut, o.s_stride, 1, rest, sum, o.d_stride, true);
  }
  CHECK(s == s2);
  CHECK(y == y2);
}

}  // namespace

TEMPLATE_TEST_CASE("products with rows of a cache are those of plain loops", "", float,
                   std::uint16_t, std::int8_t) {
  for (const isa::level level : isa::levels) {
    if (!isa::supported(level)) continue;
    for (const std::size_t heads : {1u, 2u, 3u, 7u, 8u})
      for (const std::size_t n : {1u, 4u, 7u, 64u})
        for (const std::size_t d : {1u, 8u, 20u, 80u, 128u, 256u})
          compare(operands<TestType>(heads, n, d), level);
  }
}
