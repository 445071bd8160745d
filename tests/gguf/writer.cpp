#include "tern/gguf/writer.hpp"

#include <array>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "tests/gguf/sample.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

namespace {

namespace fs = std::filesystem;
using tern::ggml_type;
using tern_test::codes;
using tern_test::message_of;

/// A row of 64 numbers.
tern::row_view<const float> row() {
  static const tern::matrix<float> m = tern_test::wave<float>(1, 64, 0);
  return tern::matrix_view<const float>(m).row(0);
}

}  // namespace

TEST_CASE("the file is padded to whole alignments, as llama.cpp wants it", "[gguf]") {
  const tern_test::scratch_dir dir;
  const auto file = tern_test::sample_file(dir.path());
  CHECK(fs::file_size(file.path()) % 32 == 0);
  for (const auto& t : file.tensors())
    CHECK(reinterpret_cast<std::uintptr_t>(t.data.data()) % 32 == 0);
}

TEST_CASE("nothing else is left in the folder", "[gguf]") {
  const tern_test::scratch_dir dir;
  const auto file = tern_test::sample_file(dir.path());
  CHECK(std::distance(fs::directory_iterator(dir.path()), fs::directory_iterator()) == 1);
}

TEST_CASE("a tensor that takes several writes, in GGUF", "[gguf]") {
  const tern_test::scratch_dir dir;
  const auto m = tern_test::wave<float>(601, 704, 0);
  tern::gguf_writer writer;
  writer.add_matrix<float>("m", m);
  writer.write(dir.path() / "t");
  tern::matrix<float> back = tern::matrix<float>::Zero(601, 704);
  tern::read_matrix<float>(tern::gguf_file(dir.path() / "t").at("m"), back);
  CHECK(back == m);
}

TEST_CASE("numbers that llama.cpp would not read are refused by name", "[gguf]") {
  using add = std::function<void(tern::gguf_writer&)>;
  const auto [message, adding] = GENERATE(table<std::string, add>({
      {"tensor 'm': is written twice", [](auto& w) { w.add_row("m", row()); }},
      {"tensor '': llama.cpp reads names of 1 to 63 bytes", [](auto& w) { w.add_row("", row()); }},
      {"tensor '" + std::string(64, 'x') + "': llama.cpp reads names of 1 to 63 bytes",
       [](auto& w) { w.add_row(std::string(64, 'x'), row()); }},
      {"tensor 'q': numbers are not rounded to Q4_K",
       [](auto& w) { w.add_row("q", row(), ggml_type::q4_k); }},
      {"tensor 'q': Q8_0 needs rows of a multiple of 32 elements, got 33",
       [](auto& w) {
         w.template add_row<float>("q", {row().data, 33}, ggml_type::q8_0);
       }},
      {"key 'k' is written twice", [](auto& w) { w.metadata("k", 2); }},
  }));
  tern::gguf_writer writer;
  writer.add_row("m", row());
  writer.metadata("k", 1);
  CHECK(message_of<tern::config_error>([&, &add = adding] { add(writer); }) == message);
}

TEST_CASE("trits that a type cannot hold are refused by name", "[gguf]") {
  const auto [message, shape, block,
              type] = GENERATE(table<std::string, tern::extents, tern::extents, ggml_type>({
      {"TQ2_0 needs rows of a multiple of 256 elements, got 128",
       {2, 128},
       {2, 128},
       ggml_type::tq2_0},
      {"I2_S needs rows of a multiple of 128 elements, got 64", {2, 64}, {2, 64}, ggml_type::i2_s},
      {"its scales are too many for I2_S", {2, 256}, {1, 256}, ggml_type::i2_s},
      {"its scales are too many for TQ2_0", {1, 256}, {1, 128}, ggml_type::tq2_0},
      {"F32 is not ternary", {2, 256}, {2, 256}, ggml_type::f32},
  }));
  const std::array<float, 2> scales{1, 1};
  const auto n = tern::scale_extents(shape, block);
  const tern::ternary_codes m{
      {codes().data(), shape.rows, shape.cols}, {scales.data(), n.rows, n.cols}, block};
  tern::gguf_writer writer;
  CHECK(message_of<tern::config_error>([&, t = type] { writer.add_ternary("t", m, t); }) ==
        "tensor 't': " + message);
}

TEST_CASE("bytes that are not as many as type and shape need are refused", "[gguf]") {
  tern::gguf_writer writer;
  CHECK_THROWS_AS(writer.add_bytes("b", ggml_type::f32, {2}, {}), tern::shape_error);
}

TEST_CASE("an old file stays where the new one cannot be written", "[gguf]") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "m.gguf";
  tern::write_file(path, "old");
  tern::gguf_writer writer;
  const std::vector<float> bad{1, NAN};
  writer.add_row<float>("bad", bad);
  CHECK_THROWS_AS(writer.write(path), tern::config_error);
  CHECK(tern::mapped_file(path).text() == "old");
}

TEST_CASE("a folder that does not exist is an io_error", "[gguf]") {
  const tern_test::scratch_dir dir;
  CHECK_THROWS_AS(tern::gguf_writer().write(dir.path() / "none" / "x"), tern::io_error);
}

TEST_CASE("a file that would not read back is not left behind", "[gguf]") {
  const tern_test::scratch_dir dir;
  tern::gguf_writer w;
  const std::vector<float> v{1};
  w.metadata(tern::gguf_alignment_key, std::uint32_t{4096});  // the writer itself aligns to 32
  w.add_row<float>("v", v);
  CHECK_THROWS_AS(w.write(dir.path() / "x"), tern::error);
  CHECK(fs::is_empty(dir.path()));
}
