#include "tern/pack/packed_matrix.hpp"

#include <vector>

#include "../support.hpp"
#include "tern/core/random.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/pack/base3.hpp"
#include "tern/pack/two_bit.hpp"
#include "tests/pack/random_trits.hpp"

using namespace tern;

TEMPLATE_TEST_CASE("unpack undoes pack for every shape around the line size", "", two_bit, base3) {
  for (std::size_t rows = 0; rows <= 35; ++rows)
    for (std::size_t cols = 0; cols <= 50; ++cols) {
      const auto codes = tern_test::random_trits(rows * cols, rows * 64 + cols);
      const packed_matrix<TestType> packed(
          matrix_view<const std::int8_t>(codes.data(), rows, cols));
      std::vector<std::int8_t> back(codes.size(), 9);
      unpack(packed.view(), {back.data(), rows, cols});
      if (back != codes) FAIL(rows << " x " << cols);
    }
  SUCCEED();
}

TEMPLATE_TEST_CASE("packing reads any stride and gives the same bytes on any number of threads", "",
                   two_bit, base3) {
  const std::size_t rows = 70, cols = 45;
  const auto codes = tern_test::random_trits(rows * cols, 3);
  std::vector<std::int8_t> columns(codes.size());
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < cols; ++c) columns[c * rows + r] = codes[r * cols + c];
  thread_pool pool(3);
  const packed_matrix<TestType> a(matrix_view<const std::int8_t>(codes.data(), rows, cols));
  const packed_matrix<TestType> b(
      matrix_view<const std::int8_t>(columns.data(), rows, cols, 1, rows), pool);
  REQUIRE(a.view().size_bytes() == 5 * 3 * 64);
  CHECK(std::memcmp(a.view().data, b.view().data, a.view().size_bytes()) == 0);
  CHECK(reinterpret_cast<std::uintptr_t>(a.view().data) % 64 == 0);
}

TEST_CASE("two_bit has the documented layout") {
  std::vector<std::int8_t> codes(16 * 32, 0);
  codes[3 * 32 + 16 + 9] = 1;     // line 1, row 3, column 9: byte 4 * 3 + 1, plane 2
  codes[15 * 32 + 16 + 15] = -1;  // line 1, row 15, column 15: byte 63, plane 3
  const packed_matrix<two_bit> packed(matrix_view<const std::int8_t>(codes.data(), 16, 32));
  for (std::size_t i = 0; i < 64; ++i) {
    CHECK(packed.view().data[0].bytes[i] == 0x55);
    CHECK(packed.view().data[1].bytes[i] == (i == 13 ? 0x65 : i == 63 ? 0x15 : 0x55));
  }
  const packed_matrix<two_bit> zero(16, 32);
  CHECK(zero.view().data[1].bytes[13] == 0x55);
}

TEST_CASE("base3 has the documented layout") {
  std::vector<std::int8_t> codes(16 * 40, 0);
  codes[3 * 40 + 20 + 9] = 1;     // line 1, row 3, column 9: byte 4 * 3 + 1, weight 9
  codes[15 * 40 + 20 + 19] = -1;  // line 1, row 15, column 19: byte 63, weight 84
  const packed_matrix<base3> packed(matrix_view<const std::int8_t>(codes.data(), 16, 40));
  const int zeros = 1 + 3 + 9 + 28 + 84;
  for (std::size_t i = 0; i < 64; ++i) {
    CHECK(packed.view().data[0].bytes[i] == zeros);
    CHECK(packed.view().data[1].bytes[i] == zeros + (i == 13 ? 9 : i == 63 ? -84 : 0));
  }
  CHECK(packed_matrix<base3>(16, 40).view().data[1].bytes[13] == zeros);
}

TEST_CASE("base3 unpacks any byte to trits") {
  packed_line line;
  for (int byte = 0; byte < 256; ++byte) {
    line.bytes.fill(static_cast<std::uint8_t>(byte));
    std::vector<std::int8_t> codes(16 * 20);
    base3::unpack(line, codes.data(), 20);
    packed_line again;
    CHECK(base3::pack(codes.data(), 20, again) == 0);
    if (byte % 28 != 27 && byte < 252) CHECK(again.bytes == line.bytes);
  }
}

TEMPLATE_TEST_CASE("only trits are packed", "", two_bit, base3) {
  constexpr std::size_t n = TestType::rows * TestType::cols;
  for (int code = -128; code < 128; ++code)
    for (std::size_t at = 0; at < n; at += at < 32 ? 1 : 17) {
      std::vector<std::int8_t> codes(n);
      codes[at] = static_cast<std::int8_t>(code);
      const auto pack = [&] {
        packed_matrix<TestType>(
            matrix_view<const std::int8_t>(codes.data(), TestType::rows, TestType::cols));
      };
      if (-1 <= code && code <= 1)
        CHECK_NOTHROW(pack());
      else
        CHECK_THROWS_AS(pack(), config_error);
    }
}
