// Stored weights have the documented bytes, and all others are refused with a clear message.
#include "tern/pack/packed_bytes.hpp"

#include <vector>

#include "../message.hpp"
#include "../support.hpp"
#include "tern/core/random.hpp"
#include "tern/pack/base3.hpp"
#include "tern/pack/two_bit.hpp"
#include "tern/quant/absmean.hpp"
#include "tern/quant/block.hpp"
#include "tern/quant/per_channel.hpp"

using namespace tern;
using tern_test::message_of;

namespace {

/// Bytes at an address that is a multiple of 64, as a mapped file has them.
struct aligned_bytes {
  std::vector<packed_line> memory;
  std::size_t size;

  explicit aligned_bytes(std::size_t n) : memory(n / 64 + 2), size(n) {}
  [[nodiscard]] std::span<std::byte> span() {
    return std::as_writable_bytes(std::span(memory)).first(size);
  }
};

template <class Format, class T>
aligned_bytes bytes_of(const ternary_weights_view<Format, T>& w) {
  aligned_bytes bytes(static_cast<std::size_t>(header_of(w).total));
  serialize(w, bytes.span());
  return bytes;
}

template <class T>
std::vector<T> random_reals(std::size_t n) {
  philox random(3);
  std::vector<T> v(n);
  for (T& x : v) x = static_cast<T>(random.normal());
  return v;
}

/// A matrix of 17 x 70 with 34 scales, which take 49 places. It takes 64 + 256 + 2 * 5 * 64 bytes.
aligned_bytes sample() {
  const auto w = random_reals<float>(17 * 70);
  const matrix_view<const float> view(w.data(), 17, 70);
  return bytes_of(ternary_weights<two_bit>(view, block<64>{}).view());
}

std::string refusal(std::span<const std::byte> bytes) {
  return message_of<format_error>([&] { view_bytes<two_bit, float>(bytes); });
}

/// The message about the sample after change(header), with a checksum that fits.
template <class F>
std::string refusal_of(F change) {
  aligned_bytes bytes = sample();
  packed_header h;
  std::memcpy(&h, bytes.span().data(), sizeof h);
  change(h);
  h.checksum = checksum_of(h);
  std::memcpy(bytes.span().data(), &h, sizeof h);
  return refusal(bytes.span());
}

}  // namespace

TEMPLATE_TEST_CASE("weights are viewed in the bytes that were made of them", "", absmean,
                   per_channel, block<64>, block<256>) {
  const auto check = [](auto format, auto zero) {
    using Format = decltype(format);
    using T = decltype(zero);
    for (const std::size_t rows : {0u, 1u, 16u, 37u})
      for (const std::size_t cols : {0u, 1u, 64u, 150u}) {
        CAPTURE(rows, cols);
        const auto w = random_reals<T>(rows * cols);
        const ternary_weights<Format, T> packed(matrix_view<const T>(w.data(), rows, cols),
                                                TestType{});
        aligned_bytes bytes = bytes_of(packed.view());
        const auto view = view_bytes<Format, T>(bytes.span());
        std::vector<T> expected(w.size()), got(w.size(), T(9));
        dequantize(packed.view(), matrix_view<T>(expected.data(), rows, cols));
        dequantize(view, matrix_view<T>(got.data(), rows, cols));
        CHECK(got == expected);
        CHECK(view.block() == packed.view().block());
        CHECK(static_cast<const void*>(view.scale_data) == bytes.span().data() + 64);
      }
  };
  check(two_bit{}, 0.0f);
  check(two_bit{}, 0.0);
  check(base3{}, 0.0f);
}

TEST_CASE("the header is the documented one") {
  aligned_bytes bytes = sample();
  REQUIRE(bytes.size == 64 + 256 + 640);
  const std::vector<int> expected{'T',  'E', 'R', 'N', 2, 0, 1, 4,  // version, format, f32
                                  17,   0,   0,   0,   0, 0, 0, 0,  // rows
                                  70,   0,   0,   0,   0, 0, 0, 0,  // columns
                                  1,    0,   0,   0,   0, 0, 0, 0,  // scale block: rows
                                  64,   0,   0,   0,   0, 0, 0, 0,  // and columns
                                  0x40, 1,   0,   0,   0, 0, 0, 0,  // weights at 320
                                  0xC0, 3,   0,   0,   0, 0, 0, 0,  // total 960
                                  0,    0,   0,   0};
  for (std::size_t i = 0; i < expected.size(); ++i)
    CHECK(std::to_integer<int>(bytes.span()[i]) == expected[i]);
  // The checksum is the CRC-32 of zip files.
  packed_header digits;
  const std::string text = "123456789012345678901234567890123456789012345678901234567890";
  std::memcpy(&digits, text.data(), text.size());
  CHECK(checksum_of(digits) == 0x9851D170u);
}

TEST_CASE("a flipped bit anywhere in the header is refused") {
  for (std::size_t bit = 0; bit < 8 * sizeof(packed_header); ++bit) {
    aligned_bytes bytes = sample();
    bytes.span()[bit / 8] ^= std::byte(1u << bit % 8);
    CAPTURE(bit);
    CHECK(refusal(bytes.span()).starts_with("packed weights: "));
  }
}

TEST_CASE("each field that is wrong is named") {
  using header = packed_header;
  const auto is = [](const std::string& said, const std::string& expected) {
    CHECK(said == "packed weights: " + expected);
  };
  const bool narrow = sizeof(std::size_t) < sizeof(std::uint64_t);
  const char* const too_large = "too large for the addresses of this machine";
  CHECK(refusal_of([](header&) {}) == "no error");
  is(refusal_of([](header& h) { h.magic[3] = 'M'; }), "do not begin with 'TERN'");
  is(refusal_of([](header& h) { h.version = 3; }), "version 3, expected 2");
  is(refusal_of([](header& h) { h.format = 2; }), "format 2, expected 1");
  is(refusal_of([](header& h) { h.scale_bytes = 8; }), "bytes of a scale 8, expected 4");
  is(refusal_of([](header& h) { h.rows = 49; }),
     "cut off: the weights and scales do not fit into 960 bytes");
  is(refusal_of([](header& h) { h.rows = std::uint64_t{1} << 48; }),
     "more than 2^48 rows or columns");
  is(refusal_of([](header& h) { h.cols = ~std::uint64_t{0}; }), "more than 2^48 rows or columns");
  is(refusal_of([](header& h) { h.cols = (std::uint64_t{1} << 48) - 1; }),
     narrow ? too_large : "cut off: the weights and scales do not fit into 960 bytes");
  is(refusal_of([](header& h) { h.block_rows = 0; }),
     "the scale block's rows are not within 1 and the rows");
  is(refusal_of([](header& h) { h.block_rows = 18; }),
     "the scale block's rows are not within 1 and the rows");
  is(refusal_of([](header& h) { h.block_cols = 0; }),
     "the scale block's columns are not within 1 and the columns");
  is(refusal_of([](header& h) { h.block_cols = 71; }),
     "the scale block's columns are not within 1 and the columns");
  is(refusal_of([](header& h) { h.weights_at = 256; }), "offset of the weights 256, expected 320");
  is(refusal_of([](header& h) { h.total = ~std::uint64_t{0}; }),
     narrow ? too_large : "total bytes 18446744073709551615, expected 960");
  is(refusal_of([](header& h) { h.zero = 1; }), "bytes 56 to 59 of the header must be 0");
}

TEST_CASE("bytes too few, too many or not aligned are refused") {
  aligned_bytes bytes = sample();
  for (std::size_t n = 0; n < bytes.size; ++n) CHECK(refusal(bytes.span().first(n)) != "no error");
  CHECK(refusal(bytes.span().first(63)) == "packed weights: shorter than the header of 64 bytes");
  CHECK(refusal(bytes.span()) == "no error");
  ++bytes.size;
  CHECK(refusal(bytes.span()) == "packed weights: bytes given 961, expected 960");
  --bytes.size;
  bytes.span()[64 + 49 * 4] = std::byte{1};
  CHECK(refusal(bytes.span()) == "packed weights: padding behind the scales is not 0");

  aligned_bytes moved(bytes.size + 1);
  std::memcpy(moved.span().data() + 1, sample().span().data(), bytes.size);
  CHECK(message_of<config_error>([&] { view_bytes<two_bit>(moved.span().subspan(1)); }) ==
        "packed weights: the bytes must be aligned to 64");
  CHECK_THROWS_AS(serialize(view_bytes<two_bit>(sample().span()), moved.span()), shape_error);
}
