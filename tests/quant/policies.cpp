// The policies of other papers, and those of BitDistill's official code that only share a name with
// GPTQ and AWQ.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <vector>

#include "../oracle/quant.inc"
#include "../support.hpp"
#include "tern/core/random.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/quant/chosen_quantizer.hpp"
#include "tern/quant/paper_awq.hpp"
#include "tern/quant/paper_gptq.hpp"
#include "tern/quant/scaled_trit.hpp"
#include "tern/quant/twn.hpp"

using namespace tern;

namespace {

template <class T, class Quantizer>
struct quantized {
  std::vector<std::int8_t> codes;
  std::vector<T> scales;

  explicit quantized(matrix_view<const T> w, executor_ref ex = {}) : codes(w.size()) {
    const extents n = scale_extents({w.rows, w.cols}, Quantizer::scale_block(w.rows, w.cols));
    scales.assign(n.rows * n.cols, T(-1));
    Quantizer{}.template quantize<T>(w, {codes.data(), w.rows, w.cols},
                                     {scales.data(), n.rows, n.cols}, ex);
  }
  bool operator==(const quantized&) const = default;
};

template <class Quantizer>
void check_values(const char* policy, const quant_case& c, const expected_quantization& expected) {
  if (expected.codes.empty()) return;  // the official code gives NaN
  INFO(policy << " of the case " << c.name);
  const quantized<float, Quantizer> q(matrix_view<const float>(c.values.data(), c.rows, c.cols));
  CHECK(std::ranges::equal(q.codes, expected.codes));
  CHECK(std::ranges::equal(q.scales, expected.scales));
}

std::vector<float> random_weights(std::size_t n, float spread) {
  philox random(5);
  std::vector<float> w(n);
  for (float& v : w) v = spread * static_cast<float>(random.normal());
  return w;
}

}  // namespace

static_assert(weight_quantizer<twn, float> && weight_quantizer<twn, double>);
static_assert(weight_quantizer<paper_gptq, float> && weight_quantizer<paper_gptq, double>);
static_assert(weight_quantizer<chosen_quantizer, float> &&
              weight_quantizer<chosen_quantizer, double>);
static_assert(weight_quantizer<paper_awq, float> && weight_quantizer<paper_awq, double>);

TEST_CASE("twn, paper_gptq and paper_awq equal PyTorch to the bit") {
  const quant_case c = GENERATE(from_range(std::begin(quant_cases), std::end(quant_cases)));
  check_values<twn>("twn", c, c.twn);
  check_values<paper_gptq>("paper_gptq", c, c.paper_gptq);
  check_values<paper_awq>("paper_awq", c, c.paper_awq);
}

TEST_CASE("a chosen quantizer has the bits of its policy, and the eps") {
  const std::size_t rows = 5, cols = 300;
  const std::vector<float> w = random_weights(rows * cols, 1);
  const double eps = 0.5;
  const matrix_view<const float> view(w.data(), rows, cols);
  const auto same = [&](weight_policy policy, const auto& quantizer) {
    const chosen_quantizer chosen{policy, eps};
    const extents block = quantizer.scale_block(rows, cols), n = scale_extents({rows, cols}, block);
    REQUIRE(chosen.scale_block(rows, cols) == block);
    std::vector<std::int8_t> codes(w.size()), expected(w.size());
    std::vector<float> scales(n.rows * n.cols), expected_scales(scales);
    chosen.quantize<float>(view, {codes.data(), rows, cols}, {scales.data(), n.rows, n.cols});
    quantizer.template quantize<float>(view, {expected.data(), rows, cols},
                                       {expected_scales.data(), n.rows, n.cols});
    CHECK(codes == expected);
    CHECK(scales == expected_scales);
  };
  same(weight_policy::absmean, absmean{eps});
  same(weight_policy::block, block<256>{eps});
  same(weight_policy::block_64, block<64>{eps});
  same(weight_policy::per_channel, per_channel{eps});
  same(weight_policy::twn, twn{});
  same(weight_policy::paper_gptq, paper_gptq{});
  same(weight_policy::paper_awq, paper_awq{});
}

TEMPLATE_TEST_CASE("policies of papers give the same bits at every stride and thread count", "",
                   twn, paper_gptq, paper_awq) {
  thread_pool pool(3);
  const std::size_t rows = 90, cols = GENERATE(1u, 7u, 64u, 131u);
  const std::vector<float> w = random_weights(rows * cols, 1);
  std::vector<float> columns(w.size());
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < cols; ++c) columns[c * rows + r] = w[r * cols + c];
  const quantized<float, TestType> expected(matrix_view<const float>(w.data(), rows, cols));
  CHECK(expected == quantized<float, TestType>(
                        matrix_view<const float>(columns.data(), rows, cols, 1, rows), pool));
}

TEMPLATE_TEST_CASE("policies of papers refuse weights that are not finite, take empty ones", "",
                   twn, paper_gptq, paper_awq) {
  const float bad =
      GENERATE(std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity());
  const std::vector<float> w{1, 2, bad, 3};
  using result = quantized<float, TestType>;
  CHECK_THROWS_AS(result(matrix_view<const float>(w.data(), 2, 2)), numeric_error);
  CHECK_NOTHROW(result(matrix_view<const float>(w.data(), 0, 2)));
}

TEST_CASE("twn keeps the weights above its threshold and gives their mean") {
  const std::vector<float> w{3, -1, 0.5f, -3.5f};  // mean 2, threshold 1.5
  const quantized<float, twn> q(matrix_view<const float>(w.data(), 2, 2));
  CHECK(q.codes == std::vector<std::int8_t>{1, 0, 0, -1});
  CHECK(q.scales[0] == 3.25f);
}

TEST_CASE("twn gives zeros the scale 0") {
  const std::vector<float> w(6, 0.0f);
  const quantized<float, twn> q(matrix_view<const float>(w.data(), 2, 3));
  CHECK(q.codes == std::vector<std::int8_t>(6, 0));
  CHECK(q.scales[0] == 0);
}

TEST_CASE("paper_gptq counts the variance within a single row as 0") {
  const std::vector<float> w{0.25f, -0.75f};
  const quantized<float, paper_gptq> q(matrix_view<const float>(w.data(), 1, 2));
  CHECK(q.codes == std::vector<std::int8_t>{1, -1});
  CHECK(q.scales[0] == Approx(0.5e-4));  // mean|W| / 1e4
}

TEST_CASE("paper_gptq takes the mean of a single column for its scale") {
  const std::vector<float> w{0.25f, -0.75f, 2};
  const quantized<float, paper_gptq> q(matrix_view<const float>(w.data(), 3, 1));
  CHECK(q.codes == std::vector<std::int8_t>{0, -1, 1});
  CHECK(q.scales[0] == Approx(1));
}

TEST_CASE("paper_gptq leaves hardly a code 0 where weights are small") {
  const std::vector<float> w = random_weights(4096, 0.02f);
  const quantized<float, paper_gptq> q(matrix_view<const float>(w.data(), 64, 64));
  CHECK(std::ranges::count(q.codes, 0) < 100);
  CHECK(q.scales[0] == Approx(0.8 * 0.02 * 0.02).epsilon(0.1));
}

TEST_CASE("paper_gptq refuses weights whose 1 / a overflows") {
  const std::vector<float> w = random_weights(16, 1e30f);
  using result = quantized<float, paper_gptq>;
  CHECK_THROWS_AS(result(matrix_view<const float>(w.data(), 4, 4)), numeric_error);
}

TEST_CASE("paper_awq gives the rows of the largest fifth a wider grid") {
  const std::vector<float> w{1, 2, 3, 4, 5, 6};  // mean 3.5, the 0.8 quantile of the rows is 5
  const quantized<float, paper_awq> q(matrix_view<const float>(w.data(), 6, 1));
  for (std::size_t r = 0; r < 5; ++r) CHECK(q.scales[r] == Approx(3.5 / 1.2));
  CHECK(q.scales[5] == Approx(3.5 / 0.7));
}

TEST_CASE("scaled_trit rounds a tie to the even 0, and 0 / 0 to 0") {
  CHECK(scaled_trit(1.0f, 2.0f) == 0);
  CHECK(scaled_trit(-1.0f, 2.0f) == 0);
  CHECK(scaled_trit(std::nextafter(1.0f, 2.0f), 2.0f) == 1);
  CHECK(scaled_trit(std::nextafter(-1.0f, -2.0f), 2.0f) == -1);
  CHECK(scaled_trit(0.0f, 0.0f) == 0);
}
