// Every block type against llama.cpp's own code, bit for bit, in both directions; the ternary ones
// also against vectors of the formats' definitions: w[i] = ((7 i + i/5 + i/31) % 3) - 1 times 0.5.
#include <array>
#include <bit>
#include <cmath>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/gguf/encode.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

namespace oracle {
#include "tests/oracle/ggml.inc"
}  // namespace oracle

namespace {

using bytes = std::vector<std::byte>;

bytes from_hex(std::string_view hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  bytes out;
  for (std::size_t i = 0; i < hex.size(); i += 2)
    out.push_back(static_cast<std::byte>(digit(hex[i]) * 16 + digit(hex[i + 1])));
  return out;
}

std::string to_hex(std::span<const std::byte> data) {
  std::string out;
  for (const auto b : data)
    for (const unsigned shift : {4u, 0u})
      out += "0123456789abcdef"[std::to_integer<unsigned>(b) >> shift & 15u];
  return out;
}

std::vector<std::int8_t> trits(std::size_t count) {
  std::vector<std::int8_t> out(count);
  for (std::size_t i = 0; i < count; ++i)
    out[i] = static_cast<std::int8_t>(static_cast<int>((7 * i + i / 5 + i / 31) % 3) - 1);
  return out;
}

/// What the oracle encodes: numbers, then codes of Q8_0 halfway between two.
std::vector<float> numbers() {
  std::vector<float> out;
  for (int i = 0; i < 32; ++i) out.push_back(static_cast<float>(7919 * i % 1021 - 510) / 512);
  for (int i = 0; i < 31; ++i) out.push_back(static_cast<float>(i) - 15.5f);
  out.push_back(127);
  return out;
}

tern::gguf_tensor tensor(tern::ggml_type type, std::vector<std::size_t> shape, const bytes& data,
                         tern::i2_s_layout layout = tern::i2_s_layout::x86) {
  return {"w", "m.gguf", type, std::move(shape), data, layout};
}

bytes encoded(const std::vector<float>& values, tern::ggml_type type) {
  bytes out;
  tern::encode_matrix<float>("w", {values.data(), 1, values.size()}, type,
                             [&](auto part) { out.insert(out.end(), part.begin(), part.end()); });
  return out;
}

bytes encoded_trits(std::vector<std::int8_t> codes, float scale, tern::ggml_type type,
                    tern::i2_s_layout layout = tern::i2_s_layout::x86) {
  bytes out;
  const tern::ternary_codes m{{codes.data(), 1, codes.size()}, {&scale, 1, 1}, {1, codes.size()}};
  tern::encode_ternary("w", m, type, layout,
                       [&](auto part) { out.insert(out.end(), part.begin(), part.end()); });
  return out;
}

void check_decoding(tern::ggml_type type, std::string_view hex,
                    std::span<const std::uint32_t> expected) {
  INFO(tern::ggml_type_name(type));
  const auto data = from_hex(hex);
  const auto values = tern::read_values(tensor(type, {expected.size()}, data));
  REQUIRE(values.size() == expected.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    INFO(i);
    CHECK(std::bit_cast<std::uint32_t>(values[i]) == expected[i]);
  }
}

void check_encoding(tern::ggml_type type, std::string_view hex) {
  INFO(tern::ggml_type_name(type));
  const auto got = to_hex(encoded(numbers(), type));
  CHECK(got == hex.substr(0, got.size()));
}

constexpr auto tq1_0 = tern::ggml_type::tq1_0, tq2_0 = tern::ggml_type::tq2_0,
               i2_s = tern::ggml_type::i2_s;

}  // namespace

TEST_CASE("blocks decode to llama.cpp's floats", "[ggml]") {
  using enum tern::ggml_type;
  check_decoding(f32, oracle::f32::bytes, oracle::f32::values);
  check_decoding(f16, oracle::f16::bytes, oracle::f16::values);
  check_decoding(bf16, oracle::bf16::bytes, oracle::bf16::values);
  check_decoding(q4_0, oracle::q4_0::bytes, oracle::q4_0::values);
  check_decoding(q4_1, oracle::q4_1::bytes, oracle::q4_1::values);
  check_decoding(q5_0, oracle::q5_0::bytes, oracle::q5_0::values);
  check_decoding(q5_1, oracle::q5_1::bytes, oracle::q5_1::values);
  check_decoding(q8_0, oracle::q8_0::bytes, oracle::q8_0::values);
  check_decoding(q4_k, oracle::q4_k::bytes, oracle::q4_k::values);
  check_decoding(q5_k, oracle::q5_k::bytes, oracle::q5_k::values);
  check_decoding(q6_k, oracle::q6_k::bytes, oracle::q6_k::values);
  check_decoding(tq1_0, oracle::tq1_0::bytes, oracle::tq1_0::values);
  check_decoding(tq2_0, oracle::tq2_0::bytes, oracle::tq2_0::values);
}

TEST_CASE("numbers encode to llama.cpp's blocks", "[ggml]") {
  using enum tern::ggml_type;
  check_encoding(f32, oracle::f32::bytes);
  check_encoding(f16, oracle::f16::bytes);
  check_encoding(bf16, oracle::bf16::bytes);
  check_encoding(q8_0, oracle::q8_0::bytes);
  CHECK_FALSE(tern::can_encode(q4_0));
  CHECK_FALSE(tern::can_encode(tq2_0));
}

TEST_CASE("ternary blocks: golden vectors, llama.cpp's blocks, and back", "[ggml]") {
  const auto codes = trits(256);
  const auto check = [&](tern::ggml_type type, tern::i2_s_layout layout, std::string_view golden) {
    INFO(tern::ggml_type_name(type));
    const auto data = encoded_trits(codes, 0.5f, type, layout);
    CHECK(to_hex(data) == golden);
    std::vector<std::int8_t> again(codes.size());
    std::array<float, 1> scale{};
    tern::read_ternary(tensor(type, {1, 256}, data, layout), {again.data(), 1, 256},
                       {scale.data(), 1, 1});
    CHECK(again == codes);
    CHECK(scale[0] == 0.5f);
    const auto values = tern::read_values(tensor(type, {1, 256}, data, layout));
    REQUIRE(values.size() == 256);
    for (std::size_t i = 0; i < 256; ++i) CHECK(values[i] == 0.5f * static_cast<float>(codes[i]));
  };
  const std::string_view golden_tq1 =
      "058ee52ca2058ee52ca2058ee52ca2058ee52ca2058ee52ca2058ee62d932fe4c0219aae4ac0219aae44e04165ce"
      "0be0a5ce4c5c0038";
  const std::string_view golden_tq2 =
      "40a50a542940a50a542940a50a542940a50a542940a50a542940a50a9449940aa942950a50a942950a50a942950a"
      "50a942950a50a942950a9009962a50a502940038";
  check(tq1_0, {}, golden_tq1);
  check(tq2_0, {}, golden_tq2);
  CHECK(oracle::tq1_0::bytes.starts_with(golden_tq1));
  CHECK(oracle::tq2_0::bytes.starts_with(golden_tq2));
  const std::string tail = "0000003f" + std::string(56, '0');
  check(
      i2_s, tern::i2_s_layout::x86,
      "015aa01568015aa01568015aa01568015aa01568015aa01568015aa0166116a06a8156a0056a8156a0056a8156a0"
      "056a8156a0056a8156a0066096a8055a8016" +
          tail);
  check(
      i2_s, tern::i2_s_layout::arm,
      "11668916481166891648116689164922268811648126881164812688124592046891668812689166881269a24499"
      "2049891648116689164812449a245922449a" +
          tail);
}

TEST_CASE("every ternary byte decodes as its digits say", "[ggml]") {
  for (unsigned value = 0; value < 256; ++value) {
    std::array<std::uint8_t, 5> digits{};
    const auto byte = static_cast<std::byte>(value);
    tern::ggml::detail::unpack_base3<5>(&byte, 1, digits.data());
    unsigned number = 0;
    for (const auto digit : digits) {
      REQUIRE(digit < 3);
      number = 3 * number + digit;
    }
    CHECK(number == (value * 243) / 256);
    std::byte again{};
    tern::ggml::detail::pack_base3<5>(digits.data(), 1, &again);
    CHECK(std::to_integer<unsigned>(again) == (number * 256 + 242) / 243);
  }
}

TEST_CASE("scales of several blocks and rows stay with their weights", "[ggml]") {
  const auto codes = trits(4 * 512);
  const std::array<float, 4> scales{0.25f, 1.0f, 0x1p-20f, 3.0f};  // F16 holds them
  const auto check = [&](tern::extents block, auto expected) {
    const auto n = tern::scale_extents({4, 512}, block);
    const tern::ternary_codes m{{codes.data(), 4, 512}, {scales.data(), n.rows, n.cols}, block};
    for (const auto type : {tq1_0, tq2_0}) {
      bytes data;
      tern::encode_ternary("w", m, type, {},
                           [&](auto part) { data.insert(data.end(), part.begin(), part.end()); });
      std::vector<std::int8_t> again(codes.size());
      std::vector<float> read(8);
      tern::read_ternary(tensor(type, {4, 512}, data), {again.data(), 4, 512}, {read.data(), 4, 2});
      CHECK(again == codes);
      CHECK(read == expected);
    }
  };
  check({1, 512}, std::vector<float>{0.25f, 0.25f, 1, 1, 0x1p-20f, 0x1p-20f, 3, 3});
  check({2, 256}, std::vector<float>{0.25f, 1, 0.25f, 1, 0x1p-20f, 3, 0x1p-20f, 3});
  check({4, 512}, std::vector<float>(8, 0.25f));
}

TEST_CASE("what a type cannot hold is refused", "[ggml]") {
  using tern_test::message_of;
  const auto error = [](auto&& f) { return message_of<tern::config_error>(f); };
  auto values = numbers();
  values[7] = 1e5f;
  CHECK(error([&] { encoded(values, tern::ggml_type::f16); }) ==
        "tensor 'w': a value of row 0 is not finite or too large for F16");
  CHECK(error([&] { encoded(values, tern::ggml_type::bf16); }) == "no error");
  values[7] = 1e7f;
  CHECK(error([&] { encoded(values, tern::ggml_type::q8_0); }) ==
        "tensor 'w': a value of row 0 is not finite or too large for Q8_0");
  for (const float bad : {NAN, INFINITY}) {
    values[7] = bad;
    CHECK(error([&] { encoded(values, tern::ggml_type::f32); }) ==
          "tensor 'w': a value of row 0 is not finite or too large for F32");
    CHECK(error([&] { encoded(values, tern::ggml_type::q8_0); }).ends_with("Q8_0"));
    CHECK(error([&] { encoded_trits(trits(256), bad, i2_s); }) ==
          "tensor 'w': its scale is not finite");
  }
  CHECK(error([&] { encoded_trits(trits(256), 1e-9f, tq1_0); }).ends_with("of the range of F16"));
  CHECK(error([&] { encoded_trits(trits(256), 1e5f, tq2_0); }).ends_with("of the range of F16"));
  CHECK(error([&] { encoded_trits(trits(256), 0.0f, tq2_0); }) == "no error");
  auto codes = trits(256);
  for (const int bad : {2, -2, 127, -128}) {
    codes[255] = static_cast<std::int8_t>(bad);
    for (const auto type : {tq1_0, tq2_0, i2_s})
      CHECK(error([&] { encoded_trits(codes, 1, type); }) ==
            "tensor 'w': a code is none of -1, 0, +1");
  }
}

TEST_CASE("damaged blocks are refused with file and tensor", "[ggml]") {
  const auto error = [](auto&& f) { return tern_test::message_of<tern::format_error>(f); };
  std::vector<std::int8_t> codes(256);
  std::array<float, 1> scale{};
  const auto read = [&](const tern::gguf_tensor& t) {
    tern::read_ternary(t, {codes.data(), 1, 256}, {scale.data(), 1, 1});
  };
  auto data = encoded_trits(trits(256), 0.5f, tq2_0);
  data[17] |= std::byte{0xC0};  // digit 3
  CHECK(error([&] {
          read(tensor(tq2_0, {1, 256}, data));
        }) == "m.gguf: tensor 'w': a weight of row 0 is none of -1, 0, +1");
  CHECK(tern::read_values(tensor(tq2_0, {1, 256}, data))[17 + 96] == 1.0f);  // as llama.cpp has it
  data[65] = std::byte{0x7E};                                                // NaN
  CHECK(error([&] {
          tern::read_values(tensor(tq2_0, {1, 256}, data));
        }) == "m.gguf: tensor 'w': row 0 has a value that is not finite");
  data = encoded_trits(trits(256), 0.5f, i2_s);
  data[0] |= std::byte{3};
  CHECK(tern::read_values(tensor(i2_s, {1, 256}, data))[96] == 0.0f);  // as bitnet.cpp has it
  CHECK(error([&] { read(tensor(i2_s, {1, 256}, data)); }).ends_with("none of -1, 0, +1"));
  data = encoded_trits(trits(256), 0.5f, i2_s);
  data[67] = std::byte{0x7F};
  data[66] = std::byte{0x80};
  CHECK(error([&] {
          read(tensor(i2_s, {1, 256}, data));
        }) == "m.gguf: tensor 'w': a scale of row 0 is not finite");
  CHECK(error([&] { read(tensor(i2_s, {256}, data)); }) ==
        "m.gguf: tensor 'w': expected shape [1, 256], got [256]");
  CHECK(error([&] {
          tern::read_values(tensor(i2_s, {64, 4}, data));
        }) == "m.gguf: tensor 'w': expected rows of a multiple of 128 elements, got 4");
  CHECK(error([&] { tern::read_values(tensor(static_cast<tern::ggml_type>(10), {256}, data)); }) ==
        "m.gguf: tensor 'w': type Q2_K cannot be decoded");
  CHECK(error([&] {
          read(tensor(tern::ggml_type::f16, {1, 256}, data));
        }) == "m.gguf: tensor 'w': type F16 is not ternary");
}
