// The dynamic code of eight bits: its numbers, rounding to the nearest of them, and blocks.
#include "tern/quant/dynamic_code.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "tern/core/random.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

/// The numbers of a code as the paper defines them: with i zeros in front of the indicator bit, the
/// rest of the bits divides a decade.
std::vector<double> numbers_of_paper(bool has_sign) {
  std::vector<double> list{0, 1};
  for (int zeros = 0; zeros < 7; ++zeros) {
    const int parts = 1 << ((has_sign ? 6 : 7) - zeros);
    for (int i = 0; i < parts; ++i) {
      const double x = std::pow(10, -zeros) * (0.1 + 0.9 * (i + 0.5) / parts);
      list.push_back(x);
      if (has_sign) list.push_back(-x);
    }
  }
  std::ranges::sort(list);
  return list;
}

template <bool HasSign>
std::vector<double> numbers() {
  std::vector<double> list;
  for (int code = 0; code < 256; ++code)
    list.push_back(
        static_cast<double>(dynamic_code<HasSign>::value(static_cast<std::uint8_t>(code))));
  return list;
}

/// The code of the number nearest to x, of two the one nearer to 0; `list` ascends.
int search(const std::vector<double>& list, double x) {
  const auto next = std::ranges::lower_bound(list, x);
  if (next == list.begin()) return 0;
  const int above = static_cast<int>(next - list.begin());
  if (next == list.end()) return above - 1;
  const double up = *next - x, down = x - *(next - 1);
  return up < down || (up == down && x < 0) ? above : above - 1;
}

/// Numbers in [0, 1] that differ in all bits but the last ones, and the bounds between codes.
std::vector<float> samples(const std::vector<double>& list) {
  std::vector<float> numbers{0, 1};
  for (std::uint32_t bits = 0; bits < std::bit_cast<std::uint32_t>(1.0f); bits += 3989)
    numbers.push_back(std::bit_cast<float>(bits));
  for (std::size_t i = 0; i + 1 < list.size(); ++i) {
    const auto middle = static_cast<float>(std::abs(list[i] + list[i + 1]) / 2);
    numbers.insert(numbers.end(),
                   {middle, std::nextafter(middle, 0.0f), std::nextafter(middle, 2.0f)});
  }
  return numbers;
}

}  // namespace

TEST_CASE("the numbers of the dynamic code are those of the paper") {
  const auto check = [](const std::vector<double>& found, const std::vector<double>& want) {
    REQUIRE(want.size() == 256);
    for (std::size_t i = 0; i < 256; ++i) CHECK(found[i] == Approx(want[i]).epsilon(1e-6));
  };
  check(numbers<true>(), numbers_of_paper(true));
  check(numbers<false>(), numbers_of_paper(false));
}

TEST_CASE("the dynamic code rounds to the nearest number") {
  const auto with = numbers<true>(), without = numbers<false>();
  std::size_t wrong = 0;
  for (const float x : samples(with)) {
    wrong += dynamic_code<true>::nearest(x) != search(with, static_cast<double>(x));
    wrong += dynamic_code<true>::nearest(-x) != search(with, -static_cast<double>(x));
  }
  for (const float x : samples(without))
    wrong += dynamic_code<false>::nearest(x) !=
             std::max(search(without, static_cast<double>(x)), x > 0 ? 1 : 0);
  CHECK(wrong == 0);
}

TEST_CASE("a block keeps its largest number, and others to half a step of their decade") {
  std::array<double, 200> x{}, y{};
  philox random(3);
  for (double& each : x) each = std::exp(3 * random.normal());
  std::array<std::uint8_t, 200> codes{};
  const double largest = *std::ranges::max_element(x);
  const float scale = encode_block<false>(row_view<const double>(x), codes);
  CHECK(scale == static_cast<float>(largest));
  decode_block<false>(codes, scale, row_view<double>(y));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double zeros = std::floor(-std::log10(x[i] / largest));
    const double step = std::pow(10, -zeros) * 0.9 / std::pow(2, 7 - zeros);
    if (zeros < 7) CHECK(std::abs(y[i] - x[i]) <= largest * 0.501 * step);
    CHECK(y[i] > 0);
  }
  CHECK(*std::ranges::max_element(y) == static_cast<double>(scale));
}

TEST_CASE("blocks of zeros and of numbers without a sensible scale stay numbers") {
  struct row {
    const char* name;
    std::array<float, 3> numbers, result;
  };
  constexpr float most = std::numeric_limits<float>::max(), tiny = 1e-45f;
  const auto r = GENERATE_COPY(values<row>({
      {"zeros", {0, 0, 0}, {0, 0, 0}},
      {"subnormal", {tiny, 0, tiny}, {tiny, 0, tiny}},
      {"infinite", {std::numeric_limits<float>::infinity(), 0, most}, {most, 0, most}},
  }));
  INFO(r.name);
  std::array<std::uint8_t, 3> codes{};
  std::array<float, 3> back{};
  decode_block<true>(codes, encode_block<true>(row_view<const float>(r.numbers), codes),
                     row_view<float>(back));
  CHECK(back == r.result);
}
