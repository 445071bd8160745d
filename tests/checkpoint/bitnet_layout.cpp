// The bitnet packing is compared with vectors that follow from the format's definition, for the
// weights w[i] = ((7 i + i/5 + i/31) % 3) - 1.
#include "tern/checkpoint/bitnet_layout.hpp"

#include <array>
#include <string>
#include <vector>

#include "tests/support.hpp"

namespace {

std::string packed_hex(std::size_t rows, std::size_t cols) {
  std::vector<std::int8_t> codes(rows * cols);
  for (std::size_t i = 0; i < codes.size(); ++i)
    codes[i] = static_cast<std::int8_t>(static_cast<int>((7 * i + i / 5 + i / 31) % 3) - 1);
  std::vector<std::uint8_t> bytes(tern::bitnet_rows(rows) * cols);
  const tern::matrix_view<std::uint8_t> packed(bytes.data(), tern::bitnet_rows(rows), cols);
  tern::pack_bitnet({codes.data(), rows, cols}, packed);

  std::vector<std::int8_t> again(codes.size());
  tern::unpack_bitnet(packed, {again.data(), rows, cols});
  CHECK(again == codes);

  std::string hex;
  for (const std::uint8_t byte : bytes) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

}  // namespace

TEST_CASE("bitnet layout: golden vectors, and back") {
  CHECK(
      packed_hex(16, 16) ==
      "902952244990295224499029522449902952244990295224491069a244912442a449922542a449922542a4499225"
      "42a449922542a44992258224992249960992");
  CHECK(
      packed_hex(10, 16) ==
      "9469861841946986184194a906588518210a100518210a100518210a201528021821162902182116290218211621"
      "0610");
}

TEST_CASE("bitnet layout: a code that is no trit is refused") {
  std::array<std::uint8_t, 1> byte{0x0C};
  std::array<std::int8_t, 4> codes{};
  CHECK_THROWS_AS(tern::unpack_bitnet({byte.data(), 1, 1}, {codes.data(), 4, 1}),
                  tern::format_error);
}
