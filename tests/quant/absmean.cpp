#include "tern/quant/absmean.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <vector>

#include "../oracle/quant.inc"
#include "../support.hpp"
#include "tern/core/random.hpp"
#include "tern/core/thread_pool.hpp"

using namespace tern;

static_assert(weight_quantizer<absmean, float> && weight_quantizer<absmean, double>);
static_assert(!activation_quantizer<absmean, float>);

TEST_CASE("absmean equals PyTorch to the bit") {
  const quant_case c = GENERATE(from_range(std::begin(quant_cases), std::end(quant_cases)));
  INFO(c.name);
  std::vector<std::int8_t> codes(c.values.size());
  float scale = -1;
  absmean{}.quantize<float>({c.values.data(), c.rows, c.cols}, {codes.data(), c.rows, c.cols},
                            {&scale, 1, 1});
  CHECK(scale == c.absmean.scales[0]);
  CHECK(std::ranges::equal(codes, c.absmean.codes));
}

TEMPLATE_TEST_CASE("absmean follows its definition at every stride and thread count", "", float,
                   double) {
  using T = TestType;
  thread_pool pool(3);
  philox random(5);
  for (const std::size_t cols : {1u, 7u, 64u, 131u}) {
    const std::size_t rows = 90;
    std::vector<T> w(rows * cols);
    for (T& v : w) v = static_cast<T>(random.normal());
    std::vector<std::int8_t> codes(rows * cols), columns(rows * cols);
    T scale{}, scale_pool{};
    absmean{}.quantize<T>({w.data(), rows, cols}, {codes.data(), rows, cols}, {&scale, 1, 1});
    absmean{}.quantize<T>({w.data(), rows, cols}, {columns.data(), rows, cols, 1, rows},
                          {&scale_pool, 1, 1}, pool);
    CHECK(scale == scale_pool);
    std::size_t wrong = 0;
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < cols; ++c) {
        const T q = std::nearbyint(w[r * cols + c] / (scale + T(1e-5)));
        const int expected = q > 0 ? 1 : q < 0 ? -1 : 0;
        wrong += codes[r * cols + c] != expected || columns[c * rows + r] != expected;
      }
    CHECK(wrong == 0);
  }
}

TEST_CASE("absmean rounds a tie to the even 0") {
  const std::vector<float> w{0.5f, -0.5f, 1.0f, -1.0f};  // mean + eps = 1
  std::vector<std::int8_t> codes(4);
  float scale = 0;
  absmean{.eps = 0.25}.quantize<float>({w.data(), 1, 4}, {codes.data(), 1, 4}, {&scale, 1, 1});
  CHECK(scale == 0.75f);
  CHECK(codes == std::vector<std::int8_t>{0, 0, 1, -1});
}

TEST_CASE("absmean refuses weights that are not finite, takes empty ones") {
  std::vector<float> w{1.0f, std::numeric_limits<float>::quiet_NaN()};
  std::vector<std::int8_t> codes(2);
  float scale = 0;
  const auto quantize = [&] {
    absmean{}.quantize<float>({w.data(), 1, 2}, {codes.data(), 1, 2}, {&scale, 1, 1});
  };
  CHECK_THROWS_AS(quantize(), numeric_error);
  w[1] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_AS(quantize(), numeric_error);
  CHECK_NOTHROW(absmean{}.quantize<float>({w.data(), 0, 2}, {codes.data(), 0, 2}, {&scale, 1, 1}));
  CHECK_THROWS_AS(absmean{}.quantize<float>({w.data(), 1, 2}, {codes.data(), 2, 1}, {&scale, 1, 1}),
                  shape_error);
}

TEST_CASE("dequantize multiplies each block by its scale") {
  const std::vector<std::int8_t> codes{1, -1, 0, 1, 1, -1};
  const std::vector<float> scales{2, 3, 5, 7};
  std::vector<float> out(6);
  dequantize<float>({codes.data(), 2, 3}, {scales.data(), 2, 2}, {1, 2}, {out.data(), 2, 3});
  CHECK(out == std::vector<float>{2, -2, 0, 5, 5, -7});
  dequantize<float>({codes.data(), 2, 3}, row_view<const float>(scales.data(), 2),
                    {out.data(), 2, 3});
  CHECK(out == std::vector<float>{2, -2, 0, 3, 3, -3});
}
