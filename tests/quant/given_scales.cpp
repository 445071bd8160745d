// The policy whose scales come from outside.
#include "tern/quant/given_scales.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "tern/core/random.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/quant/scaled_trit.hpp"
#include "tests/support.hpp"

using namespace tern;

static_assert(weight_quantizer<given_scales<float>, float>);
static_assert(weight_quantizer<given_scales<double>, double>);

namespace {

struct rounded_weights {
  std::vector<std::int8_t> codes;
  std::vector<float> scales;
};

rounded_weights quantize(const std::vector<float>& w, extents shape,
                         const std::vector<float>& scales, extents block, executor_ref ex = {}) {
  const extents n = scale_extents(shape, block);
  rounded_weights q{std::vector<std::int8_t>(w.size()), std::vector<float>(n.rows * n.cols)};
  const given_scales<float> policy{{scales.data(), n.rows, n.cols}, block};
  policy.quantize<float>({w.data(), shape.rows, shape.cols},
                         {q.codes.data(), shape.rows, shape.cols},
                         {q.scales.data(), n.rows, n.cols}, ex);
  return q;
}

}  // namespace

TEST_CASE("given_scales rounds each weight by the scale of its block") {
  const extents shape{33, 150};
  const auto [name, block] = GENERATE(table<std::string, extents>({
      {"one scale", {33, 150}},
      {"a scale for each row", {1, 150}},
      {"a scale for every 64 columns", {1, 64}},
      {"blocks of 16 x 16", {16, 16}},
  }));
  INFO(name);
  philox random(3);
  const extents n = scale_extents(shape, block);
  std::vector<float> w(shape.rows * shape.cols), scales(n.rows * n.cols);
  for (float& x : w) x = static_cast<float>(random.normal());
  for (float& s : scales) s = static_cast<float>(0.5 + random.uniform());
  thread_pool pool(3);
  const rounded_weights q = quantize(w, shape, scales, block, pool);
  CHECK(q.scales == scales);
  std::size_t wrong = 0, used = 0;
  for (std::size_t r = 0; r < shape.rows; ++r)
    for (std::size_t c = 0; c < shape.cols; ++c) {
      const float s = scales[r / block.rows * n.cols + c / block.cols];
      const float code = std::clamp(std::nearbyint(w[r * shape.cols + c] / s), -1.0f, 1.0f);
      wrong += code != static_cast<float>(q.codes[r * shape.cols + c]);
      wrong += scaled_trit(w[r * shape.cols + c], s) != q.codes[r * shape.cols + c];
      used += code != 0;
    }
  CHECK(wrong == 0);
  CHECK((used > w.size() / 4 && used < w.size()));
}

TEST_CASE("given_scales rounds half of a scale to zero") {
  const rounded_weights q =
      quantize({0.25f, -0.25f, std::nextafter(0.25f, 1.0f), -0.26f}, {1, 4}, {0.5f}, {1, 4});
  CHECK(q.codes == std::vector<std::int8_t>{0, 0, 1, -1});
}

TEST_CASE("a scale that is not positive counts as the least one") {
  for (const float scale : {0.0f, -1.0f}) {
    const rounded_weights q = quantize({0.0f, 2.0f, -2.0f}, {1, 3}, {scale}, {1, 3});
    CHECK(q.codes == std::vector<std::int8_t>{0, 1, -1});
    CHECK(q.scales[0] == static_cast<float>(given_scales<float>::least));
  }
}

TEST_CASE("a scale that is not finite is refused") {
  for (const float scale :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    CHECK_THROWS_AS(quantize({1.0f}, {1, 1}, {scale}, {1, 1}), numeric_error);
}

TEST_CASE("given_scales refuses scales of another shape") {
  std::vector<float> w(6), scales(4);
  std::vector<std::int8_t> codes(6);
  const given_scales<float> policy{{scales.data(), 4, 1}, {1, 3}};
  CHECK_THROWS_AS(
      policy.quantize<float>({w.data(), 2, 3}, {codes.data(), 2, 3}, {scales.data(), 2, 1}),
      shape_error);
}
