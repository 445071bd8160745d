// The policies whose scales belong to a row (per_channel) or to blocks of a row (block).
#include "tern/quant/trits.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <vector>

#include "../oracle/quant.inc"
#include "../support.hpp"
#include "tern/core/random.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/quant/absmean.hpp"
#include "tern/quant/block.hpp"
#include "tern/quant/per_channel.hpp"

using namespace tern;

namespace {

template <class T, class Quantizer>
struct quantized_trits {
  std::vector<std::int8_t> codes;
  std::vector<T> scales;

  explicit quantized_trits(matrix_view<const T> w, executor_ref ex = {}) : codes(w.size()) {
    const extents n = scale_extents({w.rows, w.cols}, Quantizer::scale_block(w.rows, w.cols));
    scales.assign(n.rows * n.cols, T(-1));
    Quantizer{}.template quantize<T>(w, {codes.data(), w.rows, w.cols},
                                     {scales.data(), n.rows, n.cols}, ex);
  }
};

template <class Quantizer>
void check(const char* policy, const quant_case& c, const expected_quantization& expected) {
  INFO(policy << " of the case " << c.name);
  const quantized_trits<float, Quantizer> q(
      matrix_view<const float>(c.values.data(), c.rows, c.cols));
  CHECK(std::ranges::equal(q.codes, expected.codes));
  CHECK(std::ranges::equal(q.scales, expected.scales));
}

}  // namespace

static_assert(weight_quantizer<per_channel, float> && weight_quantizer<per_channel, double>);
static_assert(weight_quantizer<block<64>, float> && weight_quantizer<block<5>, double>);
static_assert(!activation_quantizer<block<128>, float>);

TEST_CASE("per_channel and block equal PyTorch to the bit") {
  const quant_case c = GENERATE(from_range(std::begin(quant_cases), std::end(quant_cases)));
  check<per_channel>("per_channel", c, c.per_channel);
  check<block<64>>("block<64>", c, c.block64);
  check<block<128>>("block<128>", c, c.block128);
  check<block<256>>("block<256>", c, c.block256);
}

TEMPLATE_TEST_CASE("a block is rounded as absmean rounds a matrix of its own", "", float, double) {
  using T = TestType;
  thread_pool pool(3);
  philox random(5);
  for (const std::size_t cols : {1u, 7u, 64u, 65u, 131u, 320u}) {
    const std::size_t rows = 300;
    std::vector<T> w(rows * cols), columns(rows * cols);
    for (T& v : w) v = static_cast<T>(random.normal());
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < cols; ++c) columns[c * rows + r] = w[r * cols + c];
    const matrix_view<const T> view(w.data(), rows, cols);
    const auto compare = [&](auto policy) {
      using Quantizer = decltype(policy);
      const quantized_trits<T, Quantizer> q(view);
      const quantized_trits<T, Quantizer> other(
          matrix_view<const T>(columns.data(), rows, cols, 1, rows), pool);
      CHECK(q.codes == other.codes);
      CHECK(q.scales == other.scales);
      const extents size = Quantizer::scale_block(rows, cols);
      std::size_t wrong = 0, scale = 0;
      for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < cols; c += size.cols, ++scale) {
          const std::size_t n = std::min(size.cols, cols - c);
          const quantized_trits<T, absmean> part(view.block(r, c, 1, n));
          wrong += part.scales[0] != q.scales[scale];
          for (std::size_t k = 0; k < n; ++k) wrong += part.codes[k] != q.codes[r * cols + c + k];
        }
      CHECK(scale == q.scales.size());
      CHECK(wrong == 0);
    };
    compare(per_channel{});
    compare(block<64>{});
    compare(block<5>{});
  }
}

TEMPLATE_TEST_CASE("finer policies refuse weights that are not finite, take empty ones", "",
                   per_channel, block<64>) {
  std::vector<float> w(70, 1.0f), scales(2);
  std::vector<std::int8_t> codes(70);
  const auto quantize = [&](std::size_t rows, std::size_t cols) {
    const extents n = scale_extents({rows, cols}, TestType::scale_block(rows, cols));
    TestType{}.template quantize<float>({w.data(), rows, cols}, {codes.data(), rows, cols},
                                        {scales.data(), n.rows, n.cols});
  };
  CHECK_NOTHROW(quantize(1, 70));
  CHECK_NOTHROW(quantize(0, 70));
  CHECK_NOTHROW(quantize(7, 0));
  w[69] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(quantize(1, 70), numeric_error);
  const auto wrong_scales = [&] {
    TestType{}.template quantize<float>({w.data(), 1, 60}, {codes.data(), 1, 60},
                                        {scales.data(), 2, 1});
  };
  CHECK_THROWS_AS(wrong_scales(), shape_error);
}
