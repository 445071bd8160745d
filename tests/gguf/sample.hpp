// A GGUF file that tests read.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/gguf/writer.hpp"
#include "tests/oracle/wave.hpp"

namespace tern_test {

/// Codes -1, 0, +1 of 4 x 512 weights.
inline const std::vector<std::int8_t>& codes() {
  static const auto made = [] {
    std::vector<std::int8_t> out(4 * 512);
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = static_cast<std::int8_t>(static_cast<int>((7 * i + i / 5 + i / 31) % 3) - 1);
    return out;
  }();
  return made;
}

/// Writes a file that has one tensor of each kind and one key of each type.
inline void write_sample(const std::filesystem::path& path, const tern::matrix<float>& m) {
  const std::array<float, 1> scale{0.75f};
  const std::vector<float> gain{1, -2, 3};
  const tern::ternary_codes ternary{{codes().data(), 4, 512}, {scale.data(), 1, 1}, {4, 512}};
  const std::array<std::byte, 18> q4{std::byte{0}, std::byte{0x3C}, std::byte{0x19}};
  tern::gguf_writer writer;
  writer.metadata("general.architecture", "tern");
  writer.metadata("b", true);
  writer.metadata("u8", std::uint8_t{200});
  writer.metadata("i8", std::int8_t{-100});
  writer.metadata("u16", std::uint16_t{60000});
  writer.metadata("i16", std::int16_t{-30000});
  writer.metadata("u32", std::uint32_t{4000000000});
  writer.metadata("i32", std::int32_t{-2000000000});
  writer.metadata("u64", std::uint64_t{1} << 63);
  writer.metadata("i64", std::numeric_limits<std::int64_t>::min());
  writer.metadata("f32", 0.1f);
  writer.metadata("f64", 0.1);
  writer.metadata("text", std::string("h\0\xC3\xA4", 4));
  writer.metadata_list("words", std::vector<std::string>{"a", "", "\xC4\xA0t"});
  writer.metadata_list("numbers", std::vector<std::int32_t>{1, -2, 3});
  writer.metadata_list("flags", std::vector<bool>{true, false});
  writer.metadata_list("nothing", std::vector<float>{});
  writer.add_matrix<float>("m", m);
  writer.add_matrix<float>("m.f16", m, tern::ggml_type::f16);
  writer.add_matrix<float>("m.bf16", m, tern::ggml_type::bf16);
  writer.add_matrix<float>("m.q8", m, tern::ggml_type::q8_0);
  writer.add_row<float>("gain", gain);
  writer.add_bytes("q4", tern::ggml_type::q4_0, {32}, q4);
  writer.add_ternary("t1", ternary, tern::ggml_type::tq1_0);
  writer.add_ternary("t2", ternary, tern::ggml_type::tq2_0);
  writer.add_ternary("t3", ternary, tern::ggml_type::i2_s);
  writer.add_ternary("t4", ternary, tern::ggml_type::i2_s, tern::i2_s_layout::arm);
  writer.write(path);
}

/// Writes such a file, with 3 x 64 numbers as tensor "m", and opens it.
inline tern::gguf_file sample_file(const std::filesystem::path& folder,
                                   tern::i2_s_layout layout = tern::i2_s_layout::x86) {
  write_sample(folder / "m.gguf", wave<float>(3, 64, 0.5));
  return tern::gguf_file(folder / "m.gguf", layout);
}

}  // namespace tern_test
