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

/// Compares all bits of a token at every level with those of the portable loop; any NaN equals any
/// other.
void check_levels(const std::vector<float>& token) {
  const matrix_view<const float> x(token.data(), 1, token.size());
  const quantized_rows<float> expected(x, {}, isa::level::scalar);
  for (const isa::level level : isa::levels) {
    if (!isa::supported(level)) continue;
    const quantized_rows<float> q(x, {}, level);
    const bool same_scale =
        std::isnan(expected.scales[0])
            ? std::isnan(q.scales[0])
            : std::bit_cast<int>(q.scales[0]) == std::bit_cast<int>(expected.scales[0]);
    if (q.codes == expected.codes && q.sums == expected.sums && same_scale) continue;
    CAPTURE(isa::name(level), token);
    FAIL_CHECK("differs from the portable loop");
  }
}

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
  philox random(8);
  for (std::size_t n = 0; n <= 130; ++n) {
    std::vector<float> x(n);
    for (const double range : {1.0, 1e-6, 1e-38, 1e30}) {
      for (float& v : x) v = static_cast<float>(random.normal() * range);
      check_levels(x);
    }
    // Halves are ties, unless the rounding of the factor moves them.
    for (float& v : x) v = static_cast<float>(random.below(255)) / 2 - 63.5f;
    check_levels(x);
    for (const float extreme : extremes) {
      check_levels(std::vector<float>(n, extreme));
      if (n == 0) continue;
      for (float& v : x) v = static_cast<float>(random.normal());
      for (const std::size_t at : {std::size_t{0}, std::size_t{random.below(130)} % n, n - 1}) {
        const float before = x[at];
        x[at] = extreme;
        check_levels(x);
        x[at] = before;
      }
      for (float& v : x) v = extremes[random.below(static_cast<std::uint32_t>(extremes.size()))];
      check_levels(x);
    }
  }
}

TEST_CASE("no level writes past a token's codes, and strides are for the portable loop") {
  philox random(9);
  for (const std::size_t n : {1u, 31u, 32u, 33u, 63u, 64u, 65u, 100u}) {
    const std::size_t x_stride = n + 3, code_stride = n + 5;
    std::vector<float> x(1 + 3 * x_stride), dense;
    for (float& v : x) v = static_cast<float>(random.normal());
    for (std::size_t r = 0; r < 3; ++r)
      for (std::size_t c = 0; c < n; ++c) dense.push_back(x[1 + r * x_stride + c]);
    const quantized_rows<float> expected(matrix_view<const float>(dense.data(), 3, n));
    for (const isa::level level : isa::levels) {
      if (!isa::supported(level)) continue;
      CAPTURE(isa::name(level), n);
      std::vector<std::int8_t> codes(1 + 3 * code_stride, 99);
      std::vector<float> scales(3);
      std::vector<std::int32_t> sums(3);
      absmax_int8{}.quantize<float>({x.data() + 1, 3, n, x_stride},
                                    {codes.data() + 1, 3, n, code_stride}, scales, sums, {}, level);
      std::size_t wrong = codes[0] != 99;
      for (std::size_t r = 0; r < 3; ++r)
        for (std::size_t c = 0; c < code_stride; ++c)
          wrong += codes[1 + r * code_stride + c] != (c < n ? expected.codes[r * n + c] : 99);
      CHECK(wrong == 0);
      CHECK(scales == expected.scales);
      CHECK(sums == expected.sums);
      std::vector<std::int8_t> spread(2 * n, 99);
      absmax_int8{}.quantize<float>({x.data() + 1, 1, n}, {spread.data(), 1, n, 0, 2},
                                    row_view<float>(scales.data(), 1),
                                    row_view<std::int32_t>(sums.data(), 1), {}, level);
      for (std::size_t c = 0; c < n; ++c)
        wrong += spread[2 * c] != expected.codes[c] || spread[2 * c + 1] != 99;
      CHECK(wrong == 0);
    }
  }
}
