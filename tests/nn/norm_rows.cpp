// rms_norm of rows and the quantization behind it at every level that this machine runs.
#include "tern/nn/norm_rows.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "tern/core/random.hpp"
#include "tern/quant/absmax_int8.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

/// The order of generic/norm_rows.inl, one number after the other.
float squares_in_order(const float* x, std::size_t n) {
  std::array<float, 32> sum{};
  std::size_t i = 0;
  for (; i + 32 <= n; i += 32)
    for (std::size_t k = 0; k < 32; ++k) sum[k] = std::fma(x[i + k], x[i + k], sum[k]);
  for (; i + 8 <= n; i += 8)
    for (std::size_t k = 0; k < 8; ++k) sum[k] = std::fma(x[i + k], x[i + k], sum[k]);
  for (std::size_t k = 0; i + k < n; ++k) {
    const volatile float square = x[i + k] * x[i + k];  // is rounded before it is added
    sum[k] += square;
  }
  float total = 0;
  for (std::size_t k = 0; k < 8; ++k) total += (sum[k] + sum[8 + k]) + (sum[16 + k] + sum[24 + k]);
  return total;
}

std::vector<float> numbers(std::size_t n, std::uint64_t seed) {
  std::vector<float> all(n);
  philox random(seed);
  for (float& each : all) each = static_cast<float>(random.uniform() * 4 - 2);
  return all;
}

/// The level that the generator gives; null functions where it has none of its own.
norm::row_functions functions_of(const isa::level level) {
  return isa::supported(level) ? norm::rows.at(level) : norm::row_functions{};
}

}  // namespace

TEST_CASE("norm rows: every level has the definition's order") {
  const auto cols = GENERATE(as<std::size_t>{}, 1, 7, 8, 9, 16, 31, 32, 40, 64, 65, 192, 1000);
  constexpr std::size_t rows = 3;
  const auto x = numbers(rows * cols, 1), gain = numbers(cols, 2);
  constexpr float eps = 1e-5f;
  for (const isa::level level : isa::levels) {
    const auto normalize = functions_of(level).normalize;
    if (normalize == nullptr) continue;
    INFO(isa::name(level) << ", " << cols << " columns");
    std::vector<float> y(x.size()), inverse(rows);
    REQUIRE(normalize({x.data(), cols, rows, cols, gain.data(), eps}, y.data(), cols,
                      inverse.data(), 1) == rows);
    std::vector<float> expected(x.size());
    for (std::size_t r = 0; r < rows; ++r) {
      const float* const row = &x[r * cols];
      const float by = 1 / std::sqrt(squares_in_order(row, cols) / static_cast<float>(cols) + eps);
      CHECK(inverse[r] == by);
      for (std::size_t c = 0; c < cols; ++c) expected[r * cols + c] = row[c] * by * gain[c];
    }
    CHECK(y == expected);
  }
}

TEST_CASE("norm rows: codes are those of the normalised rows") {
  const auto cols = GENERATE(as<std::size_t>{}, 1, 15, 16, 63, 64, 65, 128, 200);
  constexpr std::size_t rows = 3;
  const auto x = numbers(rows * cols, 3), gain = numbers(cols, 4);
  for (const isa::level level : isa::levels) {
    const auto f = functions_of(level);
    if (f.quantize == nullptr) continue;
    INFO(isa::name(level) << ", " << cols << " columns");
    const norm::norm_arguments in{x.data(), cols, rows, cols, gain.data(), 1e-6f};
    std::vector<float> y(x.size()), scales(rows), expected_scales(rows);
    std::vector<std::int8_t> codes(x.size()), expected(x.size());
    std::vector<std::int32_t> sums(rows), expected_sums(rows);
    REQUIRE(f.normalize(in, y.data(), cols, nullptr, 0) == rows);
    absmax_int8{}.quantize<float>({y.data(), rows, cols}, {expected.data(), rows, cols},
                                  expected_scales, expected_sums, {}, isa::level::scalar);
    REQUIRE(f.quantize(in, 1e-5f, codes.data(), scales.data(), sums.data()) == rows);
    CHECK(codes == expected);
    CHECK(scales == expected_scales);
    CHECK(sums == expected_sums);
  }
}

TEST_CASE("norm rows: they stop before a row that floats cannot hold") {
  using row = std::tuple<std::string, float, float>;
  const auto [name, value, factor] = GENERATE(table<std::string, float, float>({
      row("an infinity", std::numeric_limits<float>::infinity(), 1),
      row("a NaN", std::numeric_limits<float>::quiet_NaN(), 1),
      row("squares that overflow", 1e20f, 1),
      row("a gain that overflows", 2, 3e38f),
  }));
  INFO(name);
  constexpr std::size_t rows = 3, cols = 40;
  std::vector<float> x(rows * cols, 1), gain(cols, 1);
  x[cols + 33] = value;
  gain[33] = factor;
  for (const isa::level level : isa::levels) {
    const auto f = functions_of(level);
    if (f.quantize == nullptr) continue;
    INFO(isa::name(level));
    std::vector<float> scales(rows);
    std::vector<std::int8_t> codes(x.size());
    std::vector<std::int32_t> sums(rows);
    CHECK(f.quantize({x.data(), cols, rows, cols, gain.data(), 1e-6f}, 1e-5f, codes.data(),
                     scales.data(), sums.data()) == 1);
  }
}
