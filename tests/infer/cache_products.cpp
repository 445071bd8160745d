#include "tern/infer/cache_products.hpp"

#include <cmath>
#include <vector>

#include "tests/levels.hpp"
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

constexpr float untouched = 77;

/// Scores and mixtures, in matrices with columns that no product may write.
template <class E>
struct results {
  std::vector<float> s, y;

  explicit results(const operands<E>& o)
      : s(o.heads * o.s_stride, untouched), y(o.heads * o.d_stride, untouched) {}
};

template <class E>
results<E> all_at_once(const operands<E>& o, isa::level level) {
  const auto products = cache_products::products<E>.at(level);
  results<E> r(o);
  products.scores(o.q.data(), o.d_stride, o.heads, o.rows(o.n), 0.25f, r.s.data(), o.s_stride);
  products.mix(o.p.data(), o.s_stride, o.heads, o.rows(o.n), r.y.data(), o.d_stride, false);
  return r;
}

/// Each head by itself, and the positions in two pieces.
template <class E>
results<E> in_pieces(const operands<E>& o, isa::level level) {
  const auto products = cache_products::products<E>.at(level);
  results<E> r(o);
  const std::size_t cut = o.n / 2;
  stored_rows<E> rest = o.rows(o.n);
  rest.data += cut * o.d;
  rest.rows -= cut;
  if (rest.scales != nullptr) rest.scales += cut;
  for (std::size_t h = 0; h < o.heads; ++h) {
    const float *q = &o.q[h * o.d_stride], *p = &o.p[h * o.s_stride];
    float *to = &r.s[h * o.s_stride], *sum = &r.y[h * o.d_stride];
    products.scores(q, o.d_stride, 1, o.rows(cut), 0.25f, to, o.s_stride);
    products.scores(q, o.d_stride, 1, rest, 0.25f, to + cut, o.s_stride);
    products.mix(p, o.s_stride, 1, o.rows(cut), sum, o.d_stride, false);
    products.mix(p + cut, o.s_stride, 1, rest, sum, o.d_stride, true);
  }
  return r;
}

/// Number of results that differ from those of plain loops, and of columns that were written
/// although they belong to no result.
template <class E>
std::size_t wrong_results(const operands<E>& o, const results<E>& r) {
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
      check(r.s[h * o.s_stride + j], sum, size);
    }
    for (std::size_t c = 0; c < o.d; ++c) {
      double sum = 0, size = 0;
      for (std::size_t j = 0; j < o.n; ++j) {
        sum += o.p[h * o.s_stride + j] * o.value(j, c);
        size += std::abs(o.value(j, c));
      }
      check(r.y[h * o.d_stride + c], sum, size);
    }
    for (std::size_t j = o.n; j < o.s_stride; ++j) wrong += r.s[h * o.s_stride + j] != untouched;
    for (std::size_t c = o.d; c < o.d_stride; ++c) wrong += r.y[h * o.d_stride + c] != untouched;
  }
  return wrong;
}

}  // namespace

/// Runs the rest of the test case for shapes around the numbers of heads, positions and values that
/// the products take together.
#define GENERATE_SHAPE()                                                                 \
  const std::size_t heads = GENERATE(1u, 2u, 3u, 7u, 8u), n = GENERATE(1u, 4u, 7u, 64u), \
                    d = GENERATE(1u, 8u, 20u, 80u, 128u, 256u);                          \
  INFO(heads << " heads, " << n << " positions of " << d)

TEMPLATE_TEST_CASE("products with rows of a cache are those of plain loops", "", float,
                   std::uint16_t, std::int8_t) {
  GENERATE_SHAPE();
  GENERATE_LEVEL();
  const operands<TestType> o(heads, n, d);
  CHECK(wrong_results(o, all_at_once(o, level)) == 0);
}

TEMPLATE_TEST_CASE("products head by head and in pieces have the same bits", "", float,
                   std::uint16_t, std::int8_t) {
  GENERATE_SHAPE();
  GENERATE_LEVEL();
  const operands<TestType> o(heads, n, d);
  const auto whole = all_at_once(o, level), pieces = in_pieces(o, level);
  CHECK(whole.s == pieces.s);
  CHECK(whole.y == pieces.y);
}
