// Every block type is compared with llama.cpp's own code, bit for bit, in both directions. The
// ternary ones are also compared with vectors that follow from the formats' definitions, for the
// weights w[i] = 0.5 (((7 i + i/5 + i/31) % 3) - 1).
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
using tern_test::message_of;

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

/// The numbers that the oracle encodes. Those of the second half lie halfway between two codes of
/// Q8_0.
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

constexpr auto tq1_0 = tern::ggml_type::tq1_0, tq2_0 = tern::ggml_type::tq2_0,
               q2_0 = tern::ggml_type::q2_0, pq2_0 = tern::ggml_type::pq2_0,
               i2_s = tern::ggml_type::i2_s;

}  // namespace

TEST_CASE("blocks decode to llama.cpp's floats", "[ggml]") {
  using enum tern::ggml_type;
  using floats = std::span<const std::uint32_t>;
  const auto [type, hex, expected] = GENERATE(table<tern::ggml_type, std::string_view, floats>({
      {f32, oracle::f32::bytes, oracle::f32::values},
      {f16, oracle::f16::bytes, oracle::f16::values},
      {bf16, oracle::bf16::bytes, oracle::bf16::values},
      {q4_0, oracle::q4_0::bytes, oracle::q4_0::values},
      {q4_1, oracle::q4_1::bytes, oracle::q4_1::values},
      {q5_0, oracle::q5_0::bytes, oracle::q5_0::values},
      {q5_1, oracle::q5_1::bytes, oracle::q5_1::values},
      {q8_0, oracle::q8_0::bytes, oracle::q8_0::values},
      {q4_k, oracle::q4_k::bytes, oracle::q4_k::values},
      {q5_k, oracle::q5_k::bytes, oracle::q5_k::values},
      {q6_k, oracle::q6_k::bytes, oracle::q6_k::values},
      {tern::ggml_type::tq1_0, oracle::tq1_0::bytes, oracle::tq1_0::values},
      {tern::ggml_type::tq2_0, oracle::tq2_0::bytes, oracle::tq2_0::values},
      {tern::ggml_type::q2_0, oracle::q2_0::bytes, oracle::q2_0::values},
  }));
  INFO(tern::ggml_type_name(type));
  const auto data = from_hex(hex);
  const auto values = tern::read_values(tensor(type, {expected.size()}, data));
  REQUIRE(values.size() == expected.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    INFO(i);
    CHECK(std::bit_cast<std::uint32_t>(values[i]) == expected[i]);
  }
}

TEST_CASE("numbers encode to llama.cpp's blocks", "[ggml]") {
  using enum tern::ggml_type;
  const auto [type, hex] = GENERATE(table<tern::ggml_type, std::string_view>({
      {f32, oracle::f32::bytes},
      {f16, oracle::f16::bytes},
      {bf16, oracle::bf16::bytes},
      {q8_0, oracle::q8_0::bytes},
  }));
  INFO(tern::ggml_type_name(type));
  const auto got = to_hex(encoded(numbers(), type));
  CHECK(got == hex.substr(0, got.size()));
}

TEST_CASE("numbers are not rounded to types of a few bits or of trits", "[ggml]") {
  CHECK_FALSE(tern::can_encode(tern::ggml_type::q4_0));
  CHECK_FALSE(tern::can_encode(tern::ggml_type::tq2_0));
}

TEST_CASE("trits encode to the vectors of the formats' definitions, and decode back", "[ggml]") {
  using tern::i2_s_layout;
  const std::string tail = "0000003f" + std::string(56, '0');
  const auto [name, type, layout, golden] =
      GENERATE_COPY(table<std::string, tern::ggml_type, i2_s_layout, std::string>({
          {"TQ1_0",
           tq1_0,
           {},
           "058ee52ca2058ee52ca2058ee52ca2058ee52ca2058ee52ca2058ee62d932fe4c0219aae4ac0219aae44e04"
           "165ce"
           "0be0a5ce4c5c0038"},
          {"TQ2_0",
           tq2_0,
           {},
           "40a50a542940a50a542940a50a542940a50a542940a50a542940a50a9449940aa942950a50a942950a50a94"
           "2950a"
           "50a942950a50a942950a9009962a50a502940038"},
          {"I2_S of x86", i2_s, i2_s_layout::x86,
           "015aa01568015aa01568015aa01568015aa01568015aa01568015aa0166116a06a8156a0056a8156a0056a8"
           "156a0"
           "056a8156a0056a8156a0066096a8055a8016" +
               tail},
          {"I2_S of ARM", i2_s, i2_s_layout::arm,
           "11668916481166891648116689164922268811648126881164812688124592046891668812689166881269a"
           "24499"
           "2049891648116689164812449a245922449a" +
               tail},
      }));
  INFO(name);
  const auto codes = trits(256);
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
}

TEST_CASE("llama.cpp encodes the same trits to the same blocks", "[ggml]") {
  const auto [type, weights, theirs] = GENERATE(
      table<tern::ggml_type, std::size_t, std::string_view>({{tq1_0, 256, oracle::tq1_0::bytes},
                                                             {tq2_0, 256, oracle::tq2_0::bytes},
                                                             {q2_0, 64, oracle::q2_0::bytes}}));
  INFO(tern::ggml_type_name(type));
  CHECK(theirs.starts_with(to_hex(encoded_trits(trits(weights), 0.5f, type))));
}

TEST_CASE("a block of PQ2_0 is two blocks of Q2_0 with one scale", "[ggml]") {
  const std::string once = to_hex(encoded_trits(trits(128), 0.5f, pq2_0)),
                    twice = to_hex(encoded_trits(trits(128), 0.5f, q2_0));
  REQUIRE(twice.size() == 72);
  CHECK(once == twice.substr(0, 36) + twice.substr(40));
}

TEST_CASE("ternary weights tell whether they have a +2", "[ggml]") {
  const auto [type, digit] =
      GENERATE(table<tern::ggml_type, unsigned>({{q2_0, 0}, {q2_0, 3}, {pq2_0, 3}}));
  const unsigned shift = 2 * GENERATE(range(0u, 4u));
  INFO(tern::ggml_type_name(type) << ", digit " << digit << " at bit " << shift);
  bytes data = encoded_trits(std::vector<std::int8_t>(256, -1), 0.5f, type);
  data.back() = static_cast<std::byte>(digit << shift);
  CHECK(tern::has_trits_alone(tensor(type, {1, 256}, data)) == (digit == 0));
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
  const auto [name, block, expected] =
      GENERATE(table<std::string, tern::extents, std::vector<float>>({
          {"one to a row", {1, 512}, {0.25f, 0.25f, 1, 1, 0x1p-20f, 0x1p-20f, 3, 3}},
          {"one to 2 x 256", {2, 256}, {0.25f, 1, 0.25f, 1, 0x1p-20f, 3, 0x1p-20f, 3}},
          {"one for all", {4, 512}, std::vector<float>(8, 0.25f)},
      }));
  const auto type = GENERATE(tq1_0, tq2_0, q2_0, pq2_0);
  INFO(name << " in " << tern::ggml_type_name(type));
  const auto codes = trits(4 * 512);
  const std::array<float, 4> scales{0.25f, 1.0f, 0x1p-20f, 3.0f};  // F16 stores them exactly
  const auto n = tern::scale_extents({4, 512}, block);
  const tern::ternary_codes m{{codes.data(), 4, 512}, {scales.data(), n.rows, n.cols}, block};
  bytes data;
  tern::encode_ternary("w", m, type, {},
                       [&](auto part) { data.insert(data.end(), part.begin(), part.end()); });
  std::vector<std::int8_t> again(codes.size());
  const std::size_t groups = 512 / tern::ternary_scale_block(type, 4, 512).cols;
  std::vector<float> read(4 * groups);
  tern::read_ternary(tensor(type, {4, 512}, data), {again.data(), 4, 512},
                     {read.data(), 4, groups});
  CHECK(again == codes);
  for (std::size_t i = 0; i < read.size(); ++i) CHECK(read[i] == expected[2 * i / groups]);
}

TEST_CASE("a number that a type cannot hold is refused by tensor and row", "[ggml]") {
  using enum tern::ggml_type;
  const std::string start = "tensor 'w': a value of row 0 is not finite or too large for ";
  const auto [number, type, message] = GENERATE_COPY(table<float, tern::ggml_type, std::string>({
      {1e5f, f16, start + "F16"},
      {1e5f, bf16, "no error"},
      {1e7f, q8_0, start + "Q8_0"},
      {NAN, f32, start + "F32"},
      {INFINITY, f32, start + "F32"},
      {NAN, q8_0, start + "Q8_0"},
      {INFINITY, q8_0, start + "Q8_0"},
  }));
  INFO(number << " as " << tern::ggml_type_name(type));
  auto values = numbers();
  values[7] = number;
  CHECK(message_of<tern::config_error>([&, t = type] { encoded(values, t); }) == message);
}

TEST_CASE("a scale that a type cannot hold is refused by tensor", "[ggml]") {
  const auto [scale, type, message] = GENERATE(table<float, tern::ggml_type, std::string>({
      {NAN, i2_s, "tensor 'w': its scale is not finite"},
      {INFINITY, i2_s, "tensor 'w': its scale is not finite"},
      {1e-9f, tq1_0, "of the range of F16"},
      {1e5f, tq2_0, "of the range of F16"},
      {0.0f, tq2_0, "no error"},
  }));
  INFO(scale << " as " << tern::ggml_type_name(type));
  CHECK(message_of<tern::config_error>([&, s = scale, t = type] {
          encoded_trits(trits(256), s, t);
        }).ends_with(message));
}

TEST_CASE("a code that is no trit is refused by every ternary type", "[ggml]") {
  const int bad = GENERATE(2, -2, 127, -128);
  const auto type = GENERATE(tq1_0, tq2_0, i2_s);
  INFO(bad << " as " << tern::ggml_type_name(type));
  auto codes = trits(256);
  codes[255] = static_cast<std::int8_t>(bad);
  CHECK(message_of<tern::config_error>([&] { encoded_trits(codes, 1, type); }) ==
        "tensor 'w': a code is none of -1, 0, +1");
}

namespace {

/// Blocks of trits with some bytes changed.
bytes damaged(tern::ggml_type type, std::vector<std::pair<std::size_t, unsigned>> changes) {
  bytes data = encoded_trits(trits(256), 0.5f, type);
  for (const auto& [at, byte] : changes) data[at] = static_cast<std::byte>(byte);
  return data;
}

void read_as_trits(const tern::gguf_tensor& t) {
  std::vector<std::int8_t> codes(256);
  std::array<float, 1> scale{};
  tern::read_ternary(t, {codes.data(), 1, 256}, {scale.data(), 1, 1});
}

}  // namespace

TEST_CASE("damaged trits are refused with file and tensor", "[ggml]") {
  using shape = std::vector<std::size_t>;
  const auto [name, type, extents, data, message] =
      GENERATE(table<std::string, tern::ggml_type, shape, bytes, std::string>({
          {"a digit 3 in TQ2_0",
           tq2_0,
           {1, 256},
           damaged(tq2_0, {{17, 0xC0}}),
           "a weight of row 0 is none of -1, 0, +1"},
          {"a digit 3 in I2_S",
           i2_s,
           {1, 256},
           damaged(i2_s, {{0, 3}}),
           "a weight of row 0 is none of -1, 0, +1"},
          {"an infinite scale",
           i2_s,
           {1, 256},
           damaged(i2_s, {{66, 0x80}, {67, 0x7F}}),
           "a scale of row 0 is not finite"},
          {"a vector", i2_s, {256}, damaged(i2_s, {}), "expected shape [1, 256], got [256]"},
          {"numbers", tern::ggml_type::f16, {1, 256}, damaged(i2_s, {}), "type F16 is not ternary"},
      }));
  INFO(name);
  const auto t = tensor(type, extents, data);
  CHECK(message_of<tern::format_error>([&] { read_as_trits(t); }) ==
        "m.gguf: tensor 'w': " + message);
}

TEST_CASE("blocks that cannot be read as numbers are refused with file and tensor", "[ggml]") {
  using shape = std::vector<std::size_t>;
  const auto [name, type, extents, data, message] =
      GENERATE(table<std::string, tern::ggml_type, shape, bytes, std::string>({
          {"a scale that is no number",
           tq2_0,
           {1, 256},
           damaged(tq2_0, {{65, 0x7E}}),
           "row 0 has a value that is not finite"},
          {"rows that are no whole blocks",
           i2_s,
           {64, 4},
           damaged(i2_s, {}),
           "expected rows of a multiple of 128 elements, got 4"},
          {"a type that cannot be decoded",
           static_cast<tern::ggml_type>(10),
           {256},
           damaged(i2_s, {}),
           "type Q2_K cannot be decoded"},
      }));
  INFO(name);
  const auto t = tensor(type, extents, data);
  CHECK(message_of<tern::format_error>([&] { tern::read_values(t); }) ==
        "m.gguf: tensor 'w': " + message);
}

TEST_CASE("a digit 3 read as a number is what the file's own program makes of it", "[ggml]") {
  const bytes tq2 = damaged(tq2_0, {{17, 0xC0}}), i2 = damaged(i2_s, {{0, 3}});
  CHECK(tern::read_values(tensor(tq2_0, {1, 256}, tq2))[17 + 96] == 1.0f);  // as llama.cpp does
  CHECK(tern::read_values(tensor(i2_s, {1, 256}, i2))[96] == 0.0f);         // as bitnet.cpp does
}
