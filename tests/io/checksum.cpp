#include "tern/io/checksum.hpp"

#include <string_view>

#include "../support.hpp"

TEST_CASE("CRC-32 has its check value, in any pieces", "[checksum]") {
  const auto bytes = std::as_bytes(std::span(std::string_view("123456789")));
  CHECK(tern::checksum::of(bytes) == 0xCBF43926u);
  tern::checksum c;
  c.update(bytes.first(4));
  c.update({});
  c.update(bytes.subspan(4));
  CHECK(c.value() == 0xCBF43926u);
  CHECK(tern::checksum::of({}) == 0);
}
