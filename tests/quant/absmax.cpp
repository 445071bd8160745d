#include "tern/quant/absmax.hpp"

#include <cmath>
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

TEST_CASE("a token that is not finite gives NaN, its neighbours stay right") {
  const float nan = std::nanf(""), inf = std::numeric_limits<float>::infinity();
  for (const float bad : {nan, inf, -inf})
    for (const std::size_t at : {0u, 3u, 16u, 40u}) {
      std::vector<float> x(3 * 41, 2.0f);
      x[41 + at] = bad;
      const quantized<float> q(matrix_view<const float>(x.data(), 3, 41));
      CHECK(std::isnan(q.scales[1]));
      CHECK(q.sums == std::vector<std::int32_t>{127 * 41, 0, 127 * 41});
      CHECK(q.codes[41 + at] == 0);
      CHECK(q.scales[2] == 2.0f / 127);
    }
}
