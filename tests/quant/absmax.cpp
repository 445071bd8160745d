#include "tern/quant/absmax.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "../oracle/quant.inc"
#include "../support.hpp"
#include "tern/core/random.hpp"

using namespace tern;

namespace {

template <class T>
struct quantized {
  std::vector<std::int8_t> codes;
  std::vector<T> scales;
  std::vector<std::int32_t> sums;

  explicit quantized(matrix_view<const T> x, executor_ref ex = {})
      : codes(x.size()), scales(x.rows), sums(x.rows) {
    absmax_int8{}.quantize<T>(x, {codes.data(), x.rows, x.cols}, scales, sums, ex);
  }
};

void check(std::size_t rows, std::size_t cols, const float* values, const std::int8_t* codes,
           const float* scales, const std::int32_t* sums) {
  const quantized<float> q(matrix_view<const float>(values, rows, cols));
  CHECK(q.codes == std::vector<std::int8_t>(codes, codes + rows * cols));
  CHECK(q.scales == std::vector<float>(scales, scales + rows));
  CHECK(q.sums == std::vector<std::int32_t>(sums, sums + rows));
}

}  // namespace

static_assert(activation_quantizer<absmax_int8, float> &&
              activation_quantizer<absmax_int8, double>);
static_assert(!weight_quantizer<absmax_int8, float>);

TEST_CASE("absmax_int8 equals PyTorch to the bit") {
#define CASE(n) check(n::rows, n::cols, n::values, n::token_codes, n::token_scales, n::token_sums)
  CASE(normal);
  CASE(wide);
  CASE(ties);
  CASE(int_ties);
  CASE(zeros);
  CASE(tiny);
  CASE(large);
#undef CASE
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
    const quantized<T> q(matrix_view<const T>(x.data(), rows, cols), pool);
    const quantized<T> s(matrix_view<const T>(by_column.data(), rows, cols, 1, rows));
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
        const quantized<T> q(matrix_view<const T>(x.data(), 3, n));
        const auto all = 127 * static_cast<std::int32_t>(n);
        CHECK(std::isnan(q.scales[1]));
        CHECK(q.sums == std::vector<std::int32_t>{all, 0, all});
        CHECK(std::count(q.codes.begin(), q.codes.end(), 0) == static_cast<std::ptrdiff_t>(n));
        CHECK(q.codes[n + at] == 0);
        CHECK(q.scales[2] == T(2) / 127);
      }
  // A maximum may lose an infinity that a NaN follows.
  const std::vector<T> both{inf, 1, nan, 2, -inf, nan, nan};
  CHECK(std::isnan(quantized<T>(matrix_view<const T>(both.data(), 1, both.size())).scales[0]));
}
