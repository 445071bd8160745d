#include "tern/infer/prompt_attention.hpp"

#include <cmath>
#include <vector>

#include "tests/levels.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

using prompt_attention::band;

/// Queries of some tokens, and keys and values of all positions up to the last one.
struct band_problem {
  std::size_t rows, group, d, start, window;
  std::vector<float> q, k, v;

  band_problem(std::size_t rows_, std::size_t group_, std::size_t d_, std::size_t start_,
               std::size_t window_)
      : rows(rows_), group(group_), d(d_), start(start_), window(window_) {
    for (std::size_t i = 0; i < rows * stride(); ++i)
      q.push_back(3 * std::sin(0.37f * static_cast<float>(i * i % 211)));
    for (std::size_t i = 0; i < (start + rows) * d; ++i) {
      k.push_back(std::cos(0.11f * static_cast<float>(i * i % 307)));
      v.push_back(std::sin(0.23f * static_cast<float>(i * i % 401)));
    }
  }
  [[nodiscard]] std::size_t stride() const { return group * d + 5; }
  [[nodiscard]] float factor() const { return 1 / std::sqrt(static_cast<float>(d)); }
};

/// The results of all queries, from tiles of `tile` positions from `first` on.
std::vector<float> banded(const band_problem& p, isa::level level, std::size_t first,
                          std::size_t tile) {
  const auto& f = prompt_attention::functions<float>.at(level);
  band b{.rows = p.rows,
         .group = p.group,
         .head_dim = p.d,
         .start = p.start,
         .window = p.window,
         .factor = p.factor()};
  std::vector<float> memory(b.floats(), std::nanf("")), y;
  b.place(memory.data());
  f.begin(b, p.q.data(), p.stride());
  const std::size_t end = p.start + p.rows;
  for (std::size_t at = first; at < end; at += tile) {
    const std::size_t n = std::min(tile, end - at);
    f.widen({p.k.data() + at * p.d, n, p.d, nullptr}, b.tile);
    f.score(b, at, n);
    f.widen({p.v.data() + at * p.d, n, p.d, nullptr}, b.tile);
    f.mix(b, at, n);
  }
  for (std::size_t i = 0; i < b.queries(); ++i)
    for (std::size_t c = 0; c < p.d; ++c)
      y.push_back(b.sums[i * band::padded(p.d) + c] / b.totals[i]);
  return y;
}

/// The largest difference from the definition, computed in double.
double deviation(const band_problem& p, const std::vector<float>& y) {
  double worst = 0;
  for (std::size_t i = 0; i < p.rows; ++i)
    for (std::size_t g = 0; g < p.group; ++g) {
      const std::size_t end = p.start + i + 1,
                        first = p.window != 0 && end > p.window ? end - p.window : 0;
      std::vector<double> mixed(p.d);
      double sum = 0;
      for (std::size_t j = first; j < end; ++j) {
        double s = 0;
        for (std::size_t c = 0; c < p.d; ++c)
          s += double{p.q[i * p.stride() + g * p.d + c]} * p.k[j * p.d + c];
        const double weight = std::exp(s * p.factor());
        sum += weight;
        for (std::size_t c = 0; c < p.d; ++c) mixed[c] += weight * p.v[j * p.d + c];
      }
      for (std::size_t c = 0; c < p.d; ++c)
        worst = std::max(worst, std::abs(y[(i * p.group + g) * p.d + c] - mixed[c] / sum));
    }
  return worst;
}

}  // namespace

TEST_CASE("attention of a band is that of its definition at every level") {
  const auto [rows, group, d, start, window] =
      GENERATE(table<std::size_t, std::size_t, std::size_t, std::size_t, std::size_t>({
          {1, 1, 8, 0, 0},
          {40, 1, 20, 0, 0},
          {33, 2, 64, 7, 0},
          {64, 3, 128, 100, 0},
          {20, 7, 80, 130, 0},
          {64, 2, 32, 200, 1},
          {64, 2, 32, 200, 40},
          {64, 2, 32, 0, 40},
          {50, 1, 16, 90, 1000},
      }));
  INFO(rows << " tokens, " << group << " heads of " << d << " from " << start << ", window "
            << window);
  GENERATE_LEVEL();
  const band_problem p(rows, group, d, start, window);
  const std::size_t first = window != 0 && start + 1 > window ? start + 1 - window : 0;
  CHECK(deviation(p, banded(p, level, first, band::positions)) < 2e-6);
  CHECK(deviation(p, banded(p, level, first, 13)) < 2e-6);
}

TEST_CASE("a token has the same bits in any band that begins with the same positions") {
  GENERATE_LEVEL();
  const band_problem all(60, 2, 32, 10, 0);
  const auto whole = banded(all, level, 0, band::positions);
  band_problem later = all;
  later.rows = 27;
  later.start += 33;
  later.q.erase(later.q.begin(), later.q.begin() + static_cast<std::ptrdiff_t>(33 * all.stride()));
  const auto part = banded(later, level, 0, band::positions);
  CHECK(
      std::equal(part.begin(), part.end(), whole.end() - static_cast<std::ptrdiff_t>(part.size())));
}

TEST_CASE("weights of scores are exponentials at every level") {
  const std::size_t n = GENERATE(1u, 15u, 64u, 100u);
  INFO(n << " scores");
  GENERATE_LEVEL();
  std::vector<float> s((n + 63) / 64 * 64);
  std::vector<double> expected;
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) s[i] = 90 * std::sin(static_cast<float>(i * i));
  const float top = *std::max_element(s.begin(), s.begin() + static_cast<std::ptrdiff_t>(n));
  for (std::size_t i = 0; i < n; ++i) {
    const float x = s[i] - top;  // rounded like that of the function
    expected.push_back(x < -87 ? 0 : std::exp(double{x}));
    sum += expected.back();
  }
  float found = std::numeric_limits<float>::lowest();
  const float total = cache_products::products<float>.at(level).weigh(s.data(), n, found);
  CHECK(found == top);
  CHECK(total == Approx(sum).epsilon(1e-6));
  for (std::size_t i = 0; i < n; ++i)
    CHECK(s[i] == Approx(expected[i]).epsilon(5e-7).margin(1e-37));
}

TEST_CASE("a score that is no number makes no weight a number") {
  GENERATE_LEVEL();
  std::vector<float> s(64);
  s[5] = std::nanf("");
  float top = std::numeric_limits<float>::lowest();
  CHECK(std::isnan(cache_products::products<float>.at(level).weigh(s.data(), 64, top)));
}
