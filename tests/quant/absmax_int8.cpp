#include "tern/quant/absmax_int8.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>
#include <limits>
#include <vector>

#include "../oracle/quant.inc"
#include "../support.hpp"
#include "tern/core/random.hpp"
#include "tern/core/thread_pool.hpp"
#include "tests/levels.hpp"

using namespace tern;

namespace {

template <class T>
struct quantized_rows {
  std::vector<std::int8_t> codes;
  std::vector<T> scales;
  std::vector<std::int32_t> sums;

  explicit quantized_rows(matrix_view<const T> x, executor_ref ex = {},
                          isa::level level = isa::active())
      : codes(x.size()), scales(x.rows), sums(x.rows) {
    absmax_int8{}.quantize<T>(x, {codes.data(), x.rows, x.cols}, scales, sums, ex, level);
  }
};

/// Whether quantizing a token at a level gives all bits that the portable loop gives; any NaN
/// equals any other.
bool as_portable(const std::vector<float>& token, isa::level level) {
  const matrix_view<const float> x(token.data(), 1, token.size());
  const quantized_rows<float> expected(x, {}, isa::level::scalar), q(x, {}, level);
  const bool same_scale =
      std::isnan(expected.scales[0])
          ? std::isnan(q.scales[0])
          : std::bit_cast<int>(q.scales[0]) == std::bit_cast<int>(expected.scales[0]);
  return q.codes == expected.codes && q.sums == expected.sums && same_scale;
}

using limits = std::numeric_limits<float>;
const std::vector<float> extremes{0.0f,
                                  -0.0f,
                                  limits::denorm_min(),
                                  -limits::denorm_min(),
                                  limits::min(),
                                  limits::max(),
                                  limits::lowest(),
                                  limits::infinity(),
                                  -limits::infinity(),
                                  limits::quiet_NaN(),
                                  -limits::quiet_NaN(),
                                  limits::signaling_NaN(),
                                  1e-5f,
                                  -1e-7f,
                                  127.0f};

}  // namespace

static_assert(activation_quantizer<absmax_int8, float> &&
              activation_quantizer<absmax_int8, double>);
static_assert(!weight_quantizer<absmax_int8, float>);

TEST_CASE("absmax_int8 equals PyTorch to the bit") {
  const quant_case c = GENERATE(from_range(std::begin(quant_cases), std::end(quant_cases)));
  INFO(c.name);
  const quantized_rows<float> q(matrix_view<const float>(c.values.data(), c.rows, c.cols));
  CHECK(std::ranges::equal(q.codes, c.absmax_int8.codes));
  CHECK(std::ranges::equal(q.scales, c.absmax_int8.scales));
  CHECK(std::ranges::equal(q.sums, c.token_sums));
}

TEMPLATE_TEST_CASE("absmax_int8 follows its definition at every size and stride", "", float,
                   double) {
  using T = TestType;
  thread_pool pool(3);
  philox random(6);
  for (std::size_t cols = 1; cols < 140; cols += cols < 70 ? 1 : 13) {
    const std::size_t rows = 4;
    std::vector<T> x(rows * cols), by_column(rows * cols);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < cols; ++c)
        by_column[c * rows + r] = x[r * cols + c] = static_cast<T>(random.normal());
    const quantized_rows<T> q(matrix_view<const T>(x.data(), rows, cols), pool);
    const quantized_rows<T> s(matrix_view<const T>(by_column.data(), rows, cols, 1, rows));
    CHECK(q.codes == s.codes);
    CHECK(q.sums == s.sums);
    for (std::size_t r = 0; r < rows; ++r) {
      T g = 0;
      for (std::size_t c = 0; c < cols; ++c) g = std::max(g, std::abs(x[r * cols + c]));
      std::int32_t sum = 0;
      std::size_t wrong = 0;
      for (std::size_t c = 0; c < cols; ++c) {
        const int code = q.codes[r * cols + c];
        wrong += code != static_cast<int>(std::nearbyint(x[r * cols + c] *
                                                         (T(127) / (g + static_cast<T>(1e-5)))));
        sum += code;
      }
      CHECK(wrong == 0);
      CHECK(q.sums[r] == sum);
      CHECK(q.scales[r] == g / 127);
      CHECK(s.scales[r] == q.scales[r]);
    }
  }
}

TEMPLATE_TEST_CASE("a token that is not finite gives NaN, its neighbours stay right", "", float,
                   double) {
  using T = TestType;
  const T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  for (const T bad : {nan, inf, -inf})
    for (const std::size_t n : {1u, 15u, 41u, 64u, 130u})
      for (std::size_t at = 0; at < n; ++at) {
        std::vector<T> x(3 * n, T(2));
        x[n + at] = bad;
        const quantized_rows<T> q(matrix_view<const T>(x.data(), 3, n));
        const auto all = 127 * static_cast<std::int32_t>(n);
        CHECK(std::isnan(q.scales[1]));
        CHECK(q.sums == std::vector<std::int32_t>{all, 0, all});
        CHECK(std::count(q.codes.begin(), q.codes.end(), 0) == static_cast<std::ptrdiff_t>(n));
        CHECK(q.codes[n + at] == 0);
        CHECK(q.scales[2] == T(2) / 127);
      }
  // A maximum may lose an infinity where a NaN comes after it.
  const std::vector<T> both{inf, 1, nan, 2, -inf, nan, nan};
  CHECK(std::isnan(quantized_rows<T>(matrix_view<const T>(both.data(), 1, both.size())).scales[0]));
}

TEST_CASE("every level gives the bits of the portable loop") {
  struct row {
    const char* name;
    float (*value)(philox&);
  };
  const auto s = GENERATE(values<row>({
      {"numbers around 1", [](philox& r) { return static_cast<float>(r.normal()); }},
      {"numbers around 1e-6", [](philox& r) { return static_cast<float>(r.normal() * 1e-6); }},
      {"numbers around 1e-38", [](philox& r) { return static_cast<float>(r.normal() * 1e-38); }},
      {"numbers around 1e30", [](philox& r) { return static_cast<float>(r.normal() * 1e30); }},
      // Halves are ties, unless the rounding of the factor moves them.
      {"halves", [](philox& r) { return static_cast<float>(r.below(255)) / 2 - 63.5f; }},
      {"extreme values",
       [](philox& r) { return extremes[r.below(static_cast<std::uint32_t>(extremes.size()))]; }},
  }));
  DYNAMIC_SECTION(s.name) {
    GENERATE_LEVEL();
    philox random(8);
    for (std::size_t n = 0; n <= 130; ++n)
      for (int repeat = 0; repeat < 4; ++repeat) {
        std::vector<float> x(n);
        for (float& v : x) v = s.value(random);
        if (!as_portable(x, level)) FAIL_CHECK(n << " values");
      }
  }
}

TEST_CASE("every level gives the bits of the portable loop for tokens of one extreme value") {
  const float extreme = GENERATE(from_range(extremes));
  GENERATE_LEVEL();
  CAPTURE(extreme);
  for (std::size_t n = 0; n <= 130; ++n)
    if (!as_portable(std::vector<float>(n, extreme), level)) FAIL_CHECK(n << " values");
}

TEST_CASE("every level gives the bits of the portable loop with one extreme value") {
  const float extreme = GENERATE(from_range(extremes));
  GENERATE_LEVEL();
  CAPTURE(extreme);
  philox random(8);
  for (std::size_t n = 1; n <= 130; ++n) {
    std::vector<float> x(n);
    for (float& v : x) v = static_cast<float>(random.normal());
    for (const std::size_t at : {std::size_t{0}, std::size_t{random.below(130)} % n, n - 1}) {
      const float before = x[at];
      x[at] = extreme;
      if (!as_portable(x, level)) FAIL_CHECK(n << " values, the extreme one at " << at);
      x[at] = before;
    }
  }
}

namespace {

/// Three tokens of n values with gaps between them, and what the portable loop makes of them.
struct spread_tokens {
  std::size_t n, stride;
  std::vector<float> x;
  std::vector<float> dense;

  explicit spread_tokens(std::size_t n_) : n(n_), stride(n + 3), x(1 + 3 * stride) {
    philox random(9);
    for (float& v : x) v = static_cast<float>(random.normal());
    for (std::size_t r = 0; r < 3; ++r)
      for (std::size_t c = 0; c < n; ++c) dense.push_back(x[1 + r * stride + c]);
  }
  [[nodiscard]] quantized_rows<float> expected() const {
    return quantized_rows<float>(matrix_view<const float>(dense.data(), 3, n));
  }
};

}  // namespace

TEST_CASE("no level writes past a token's codes") {
  const spread_tokens t(GENERATE(1u, 31u, 32u, 33u, 63u, 64u, 65u, 100u));
  GENERATE_LEVEL();
  CAPTURE(t.n);
  const auto expected = t.expected();
  const std::size_t code_stride = t.n + 5;
  std::vector<std::int8_t> codes(1 + 3 * code_stride, 99);
  std::vector<float> scales(3);
  std::vector<std::int32_t> sums(3);
  absmax_int8{}.quantize<float>({t.x.data() + 1, 3, t.n, t.stride},
                                {codes.data() + 1, 3, t.n, code_stride}, scales, sums, {}, level);
  std::size_t wrong = codes[0] != 99;
  for (std::size_t r = 0; r < 3; ++r)
    for (std::size_t c = 0; c < code_stride; ++c)
      wrong += codes[1 + r * code_stride + c] != (c < t.n ? expected.codes[r * t.n + c] : 99);
  CHECK(wrong == 0);
  CHECK(scales == expected.scales);
  CHECK(sums == expected.sums);
}

TEST_CASE("at every level codes with a stride are those of the portable loop") {
  const spread_tokens t(GENERATE(1u, 31u, 32u, 33u, 63u, 64u, 65u, 100u));
  GENERATE_LEVEL();
  CAPTURE(t.n);
  const auto expected = t.expected();
  std::vector<std::int8_t> codes(2 * t.n, 99);
  std::vector<float> scales(1);
  std::vector<std::int32_t> sums(1);
  absmax_int8{}.quantize<float>({t.x.data() + 1, 1, t.n}, {codes.data(), 1, t.n, 0, 2}, scales,
                                sums, {}, level);
  std::size_t wrong = 0;
  for (std::size_t c = 0; c < t.n; ++c)
    wrong += codes[2 * c] != expected.codes[c] || codes[2 * c + 1] != 99;
  CHECK(wrong == 0);
}
