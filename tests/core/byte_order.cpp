#include "tern/core/byte_order.hpp"

#include <array>
#include <cstdint>
#include <cstring>

#include "tests/message.hpp"
#include "tests/support.hpp"

using namespace tern;

TEST_CASE("the lowest byte of a little-endian word comes first in memory") {
  const std::uint32_t word = little_endian(std::uint32_t{0x04030201});
  std::array<std::uint8_t, 4> bytes;
  std::memcpy(bytes.data(), &word, 4);
  CHECK(bytes == std::array<std::uint8_t, 4>{1, 2, 3, 4});
  CHECK(little_endian(little_endian(std::uint64_t{0x0807060504030201})) == 0x0807060504030201);
}

TEST_CASE("a big-endian machine refuses a format by its name") {
  const auto require = [] { require_little_endian("m.gguf", "GGUF"); };
  if (std::endian::native == std::endian::little)
    CHECK_NOTHROW(require());
  else
    CHECK(tern_test::message_of<format_error>(require) ==
          "m.gguf: GGUF is little-endian and this machine is big-endian, which is not supported");
}
