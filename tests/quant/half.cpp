#include "tern/quant/half.hpp"

#include <cmath>
#include <limits>

#include "../support.hpp"
#include "tern/core/random.hpp"

namespace {

/// The value of a binary16 number by its definition, in double.
double value_of_f16(std::uint16_t h) {
  const int exponent = (h >> 10) & 31;
  const double fraction = (h & 1023) / 1024.0;
  const double magnitude = exponent == 31  ? (fraction == 0 ? INFINITY : NAN)
                           : exponent == 0 ? std::ldexp(fraction, -14)
                                           : std::ldexp(1 + fraction, exponent - 15);
  return (h & 0x8000) != 0 ? -magnitude : magnitude;
}

std::uint16_t successor(std::uint16_t h) { return static_cast<std::uint16_t>(h + 1); }

}  // namespace

TEST_CASE("every f16 is read right and comes back", "[half]") {
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const auto h = static_cast<std::uint16_t>(i);
    const double expected = value_of_f16(h);
    const float got = tern::from_f16(h);
    if (std::isnan(expected)) {
      REQUIRE(std::isnan(got));
      REQUIRE(tern::to_f16(got) == (h | 0x200));
    } else {
      REQUIRE(static_cast<double>(got) == expected);
      REQUIRE(std::signbit(got) == std::signbit(expected));
      REQUIRE(tern::to_f16(got) == h);
    }
  }
}

TEST_CASE("f16 rounds to nearest even between all neighbours", "[half]") {
  for (std::uint16_t h = 0; h < 0x7C00; ++h) {
    const double low = value_of_f16(h);
    const double high = h == 0x7BFF ? 65536.0 : value_of_f16(successor(h));
    const auto middle = static_cast<float>((low + high) / 2);  // exact
    REQUIRE(tern::to_f16(middle) == (h % 2 == 0 ? h : successor(h)));
    REQUIRE(tern::to_f16(std::nextafter(middle, 0.0f)) == h);
    REQUIRE(tern::to_f16(std::nextafter(middle, 1e9f)) == successor(h));
    REQUIRE(tern::to_f16(-middle) == ((h % 2 == 0 ? h : successor(h)) | 0x8000));
  }
  CHECK(tern::to_f16(std::numeric_limits<float>::max()) == 0x7C00);
  CHECK(tern::to_f16(-INFINITY) == 0xFC00);
  CHECK(tern::to_f16(std::numeric_limits<float>::denorm_min()) == 0);
}

TEST_CASE("bf16", "[half]") {
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const auto b = static_cast<std::uint16_t>(i);
    const float value = tern::from_bf16(b);
    if (std::isnan(value))
      REQUIRE(tern::to_bf16(value) == (b | 0x40));
    else
      REQUIRE(tern::to_bf16(value) == b);
  }
  CHECK(tern::to_bf16(1.0f) == 0x3F80);
  CHECK(tern::to_bf16(1.0f + 0x1p-8f) == 0x3F80);             // tie, to even
  CHECK(tern::to_bf16(1.0f + 0x1p-7f + 0x1p-8f) == 0x3F82);   // tie, to even
  CHECK(tern::to_bf16(1.0f + 0x1p-8f + 0x1p-20f) == 0x3F81);  // above the tie
  CHECK(tern::to_bf16(std::numeric_limits<float>::max()) == 0x7F80);
  CHECK(std::isnan(tern::from_bf16(tern::to_bf16(std::bit_cast<float>(0x7F800001u)))));
  CHECK(std::isnan(tern::from_f16(tern::to_f16(std::bit_cast<float>(0x7F800001u)))));
}
