#include "tern/gguf/file.hpp"

#include <array>
#include <cmath>
#include <fstream>
#include <limits>

#include "tern/adapt/eigen.hpp"
#include "tern/gguf/writer.hpp"
#include "tests/message.hpp"
#include "tests/oracle/wave.hpp"
#include "tests/support.hpp"

namespace {

namespace fs = std::filesystem;
using tern_test::message_of;

/// A GGUF file by hand, so that it can lie.
class raw_gguf {
 public:
  explicit raw_gguf(std::uint64_t tensors, std::uint64_t keys, std::uint32_t version = 3) {
    text_ = "GGUF";
    number(version).number(tensors).number(keys);
  }
  template <class T>
  raw_gguf& number(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  raw_gguf& string(std::string_view text) {
    number(std::uint64_t{text.size()});
    text_ += text;
    return *this;
  }
  raw_gguf& key(std::string_view name, tern::gguf_type type) {
    return string(name).number(static_cast<std::uint32_t>(type));
  }
  raw_gguf& tensor(std::string_view name, std::vector<std::uint64_t> extents, std::uint32_t type,
                   std::uint64_t offset) {
    string(name).number(static_cast<std::uint32_t>(extents.size()));
    for (const auto n : extents) number(n);
    return number(type).number(offset);
  }
  raw_gguf& data(std::size_t size) {
    text_.resize(tern::aligned(text_.size(), 32) + size);
    return *this;
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string error_of(const fs::path& path) {
  const auto what = message_of<tern::format_error>([&] { tern::gguf_file file(path); });
  if (what == "no error") return "opens";
  return what.starts_with(path.string() + ": ") ? what.substr(path.string().size() + 2)
                                                : "does not name the file: " + what;
}

std::string error_of(const raw_gguf& file) {
  const tern_test::scratch_dir dir;
  tern::write_file(dir.path() / "x.gguf", file.text());
  return error_of(dir.path() / "x.gguf");
}

/// Everything that can be asked of a file; throws only tern::error.
void read_everything(const fs::path& path) {
  const tern::gguf_file file(path);
  for (const auto& value : file.metadata().values()) {
    static_cast<void>(value.as<std::string>());
    static_cast<void>(value.as<double>());
    static_cast<void>(value.as<std::int64_t>());
    static_cast<void>(value.as<bool>());
  }
  for (const auto& t : file.tensors()) {
    try {
      static_cast<void>(tern::read_values(t));
    } catch (const tern::format_error&) {
    }
  }
}

const std::vector<std::int8_t>& codes() {
  static const auto made = [] {
    std::vector<std::int8_t> out(4 * 512);
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = static_cast<std::int8_t>(static_cast<int>((7 * i + i / 5 + i / 31) % 3) - 1);
    return out;
  }();
  return made;
}

/// One tensor of each kind and one key of each type.
void write_sample(const fs::path& path, const tern::matrix<float>& m) {
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

}  // namespace

TEST_CASE("what is written is read", "[gguf]") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "m.gguf";
  const auto m = tern_test::wave<float>(3, 64, 0.5);
  write_sample(path, m);
  const tern::gguf_file file(path);
  CHECK(file.version() == 3);
  CHECK(file.alignment() == 32);
  CHECK(fs::file_size(path) % 32 == 0);  // llama.cpp wants the last tensor padded, too
  CHECK(fs::directory_iterator(dir.path())->path() == path);

  const auto& meta = file.metadata();
  CHECK(meta.values().size() == 17);
  CHECK(meta.get<std::string>("general.architecture") == "tern");
  CHECK(meta.get<bool>("b"));
  CHECK(meta.get<int>("u8") == 200);
  CHECK(meta.get<std::int64_t>("i8") == -100);
  CHECK(meta.get<std::uint16_t>("u16") == 60000);
  CHECK(meta.get<int>("i16") == -30000);
  CHECK(meta.get<std::size_t>("u32") == 4000000000);
  CHECK(meta.get<int>("i32") == -2000000000);
  CHECK(meta.get<std::uint64_t>("u64") == std::uint64_t{1} << 63);
  CHECK(meta.get<std::int64_t>("i64") == std::numeric_limits<std::int64_t>::min());
  CHECK(meta.get<double>("f32") == static_cast<double>(0.1f));
  CHECK(meta.get<double>("f64") == 0.1);
  CHECK(meta.get<std::string_view>("text") == std::string_view("h\0\xC3\xA4", 4));
  CHECK(meta.list<std::string>("words") == std::vector<std::string>{"a", "", "\xC4\xA0t"});
  CHECK(meta.list<long>("numbers") == std::vector<long>{1, -2, 3});
  CHECK(meta.list<bool>("flags") == std::vector<bool>{true, false});
  CHECK(meta.list<float>("nothing").empty());
  CHECK(meta.get_or<int>("i32", 7) == -2000000000);
  CHECK(meta.get_or<int>("missing", 7) == 7);

  CHECK(file.tensors().size() == 10);
  for (const auto& t : file.tensors())
    CHECK(reinterpret_cast<std::uintptr_t>(t.data.data()) % 32 == 0);
  tern::matrix<float> back = tern::matrix<float>::Zero(3, 64);
  tern::read_matrix<float>(file.at("m"), back);
  CHECK(back == m);
  tern::matrix<double> wide = tern::matrix<double>::Zero(64, 3);
  tern::read_matrix(file.at("m"), tern::matrix_view<double>(wide).transposed());
  CHECK(wide == m.transpose().cast<double>());
  tern::read_matrix<float>(file.at("m.f16"), back);
  CHECK((back - m).cwiseAbs().maxCoeff() <= 0x1p-12f);
  tern::read_matrix<float>(file.at("m.bf16"), back);
  CHECK((back - m).cwiseAbs().maxCoeff() <= 0x1p-9f);
  tern::read_matrix<float>(file.at("m.q8"), back);
  CHECK((back - m).cwiseAbs().maxCoeff() <=
        0.5f / 127 + 0x1p-12f);  // half a code, F16 of the scale
  std::vector<float> gain(3);
  tern::read_row<float>(file.at("gain"), gain);
  CHECK(gain == std::vector<float>{1, -2, 3});
  CHECK(tern::read_values(file.at("q4"))[0] == 1.0f);
  CHECK(tern::read_values(file.at("q4"))[16] == -7.0f);
}

TEST_CASE("ternary tensors keep their codes", "[gguf]") {
  const auto [name, layout] = GENERATE(table<std::string, tern::i2_s_layout>(
      {{"t1", {}}, {"t2", {}}, {"t3", tern::i2_s_layout::x86}, {"t4", tern::i2_s_layout::arm}}));
  INFO(name);
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "m.gguf";
  write_sample(path, tern_test::wave<float>(3, 64, 0.5));
  const tern::gguf_file file(path, layout);
  const auto& t = file.at(name);
  CHECK(t.shape == std::vector<std::size_t>{4, 512});
  const auto n = tern::scale_extents({4, 512}, tern::ternary_scale_block(t.type, 4, 512));
  std::vector<std::int8_t> again(codes().size());
  std::vector<float> scales(n.rows * n.cols);
  tern::read_ternary(t, {again.data(), 4, 512}, {scales.data(), n.rows, n.cols});
  CHECK(again == codes());
  CHECK(scales == std::vector<float>(scales.size(), 0.75f));
  const auto values = tern::read_values(t);
  for (std::size_t i = 0; i < values.size(); ++i)
    REQUIRE(values[i] == 0.75f * static_cast<float>(codes()[i]));
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

TEST_CASE("asking for what is not there names file and key or tensor", "[gguf]") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "m.gguf";
  write_sample(path, tern_test::wave<float>(3, 64, 0.5));
  const tern::gguf_file file(path);
  const auto& meta = file.metadata();
  const auto error = [&](auto&& f) {
    const auto what = message_of<tern::format_error>(f);
    return what.starts_with(path.string() + ": ") ? what.substr(path.string().size() + 2) : what;
  };
  CHECK(error([&] { (void)meta.get<int>("missing"); }) == "key 'missing': is missing");
  CHECK(error([&] { (void)meta.get<int>("u32"); }) ==
        "key 'u32': expected an integer between -2147483648 and 2147483647, got u32 4000000000");
  CHECK(error([&] { (void)meta.get<std::uint32_t>("i8"); }) ==
        "key 'i8': expected an integer between 0 and 4294967295, got i8 -100");
  CHECK(error([&] { (void)meta.get<int>("f32"); }).ends_with("got f32"));
  CHECK(error([&] { (void)meta.get<int>("b"); }).ends_with("got bool"));
  CHECK(error([&] { (void)meta.get<bool>("u8"); }) ==
        "key 'u8': expected true or false, got u8 200");
  CHECK(error([&] { (void)meta.get<double>("i32"); }) ==
        "key 'i32': expected a floating-point number, got i32 -2000000000");
  CHECK(error([&] { (void)meta.get<std::string>("words"); }) ==
        "key 'words': expected a string, got list of string");
  CHECK(error([&] { (void)meta.list<int>("words"); }).ends_with("got list of string"));
  CHECK(error([&] { (void)meta.list<std::string>("text"); }) ==
        "key 'text': expected a list, each a string, got string");
  CHECK(error([&] { (void)meta.list<std::uint32_t>("numbers"); }).ends_with("got list of i32"));
  CHECK(error([&] { (void)file.at("missing"); }) == "no tensor 'missing'");
  std::vector<float> row(4);
  CHECK(error([&] { tern::read_row<float>(file.at("gain"), row); }) ==
        "tensor 'gain': expected shape [4], got [3]");
}

TEST_CASE("the GGUF writer refuses what no file can hold", "[gguf]") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "m.gguf";
  const auto m = tern_test::wave<float>(2, 64, 0);
  const std::array<float, 2> scales{1, 1};
  tern::gguf_writer w;
  w.add_matrix<float>("m", m);
  const auto error = [](auto&& f) { return message_of<tern::config_error>(f); };
  const auto row = tern::matrix_view<const float>(m).row(0);
  CHECK(error([&] { w.add_row("m", row); }) == "tensor 'm': is written twice");
  CHECK(error([&] { w.add_row("", row); }).ends_with("reads names of 1 to 63 bytes"));
  CHECK(error([&] { w.add_row(std::string(64, 'x'), row); }).ends_with("of 1 to 63 bytes"));
  CHECK(error([&] { w.add_row("q", row, tern::ggml_type::q4_k); }) ==
        "tensor 'q': numbers are not rounded to Q4_K");
  CHECK(error([&] {
          w.add_row<float>("q", {m.data(), 33}, tern::ggml_type::q8_0);
        }) == "tensor 'q': Q8_0 needs rows of a multiple of 32 elements, got 33");
  const auto ternary = [&](std::size_t rows, std::size_t cols, tern::extents block,
                           tern::ggml_type type) {
    const auto n = tern::scale_extents({rows, cols}, block);
    return error([&] {
      w.add_ternary("t", {{codes().data(), rows, cols}, {scales.data(), n.rows, n.cols}, block},
                    type);
    });
  };
  CHECK(ternary(2, 128, {2, 128}, tern::ggml_type::tq2_0) ==
        "tensor 't': TQ2_0 needs rows of a multiple of 256 elements, got 128");
  CHECK(ternary(2, 64, {2, 64}, tern::ggml_type::i2_s) ==
        "tensor 't': I2_S needs rows of a multiple of 128 elements, got 64");
  CHECK(ternary(2, 256, {1, 256}, tern::ggml_type::i2_s) ==
        "tensor 't': its scales are too many for I2_S");
  CHECK(ternary(1, 256, {1, 128}, tern::ggml_type::tq2_0) ==
        "tensor 't': its scales are too many for TQ2_0");
  CHECK(ternary(2, 256, {2, 256}, tern::ggml_type::f32) == "tensor 't': F32 is not ternary");
  CHECK_THROWS_AS(w.add_bytes("b", tern::ggml_type::f32, {2}, {}), tern::shape_error);
  w.metadata("k", 1);
  CHECK(error([&] { w.metadata("k", 2); }) == "key 'k' is written twice");
  tern::write_file(path, "old");
  const std::vector<float> bad{1, NAN};
  w.add_row<float>("bad", bad);
  CHECK_THROWS_AS(w.write(path), tern::config_error);
  CHECK(tern::mapped_file(path).text() == "old");
  CHECK_THROWS_AS(tern::gguf_writer().write(dir.path() / "none" / "x"), tern::io_error);
}

TEST_CASE("a file that would not read back is not left behind", "[gguf]") {
  const tern_test::scratch_dir dir;
  tern::gguf_writer w;
  const std::vector<float> v{1};
  w.metadata(tern::gguf_alignment_key, std::uint32_t{4096});  // the writer aligns to 32
  w.add_row<float>("v", v);
  CHECK_THROWS_AS(w.write(dir.path() / "x"), tern::error);
  CHECK(fs::is_empty(dir.path()));
}

TEST_CASE("cut off anywhere or with any byte changed: an error or a file, never a crash",
          "[gguf]") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "m.gguf";
  write_sample(path, tern_test::wave<float>(1, 32, 0.5));
  const std::string whole(tern::mapped_file(path).text());
  const std::size_t header = whole.find('\0', whole.find("t4")) + 64;
  std::size_t refused = 0;
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  const auto put = [&](std::size_t at, char c) {
    file.seekp(static_cast<std::streamoff>(at)).put(c).flush();
  };
  for (std::size_t i = 0; i < header; ++i)
    for (const int change : {0x01, 0x80, 0xFF}) {
      put(i, static_cast<char>(whole[i] ^ change));
      try {
        read_everything(path);
      } catch (const tern::format_error&) {
        ++refused;
      }
      put(i, whole[i]);
    }
  CHECK(refused > header);  // a third and more of them
  for (std::size_t n = whole.size(); n-- > 0;) {
    fs::resize_file(path, n);
    REQUIRE(error_of(path) != "opens");
  }
}

TEST_CASE("GGUF headers that lie", "[gguf]") {
  using enum tern::gguf_type;
  constexpr auto huge = std::numeric_limits<std::uint64_t>::max();
  const auto id = [](tern::gguf_type t) { return static_cast<std::uint32_t>(t); };
  const auto one = [] { return raw_gguf(1, 0); };
  CHECK(error_of(raw_gguf(0, 0)) == "opens");
  CHECK(error_of(raw_gguf(0, 0, 2)) == "opens");
  CHECK(error_of(raw_gguf(0, 0, 1)) == "expected GGUF version 2 or 3, got 1");
  CHECK(error_of(raw_gguf(0, 0, 4)) == "expected GGUF version 2 or 3, got 4");
  CHECK(error_of(raw_gguf(0, 0, 0x03000000)) == "big-endian GGUF is not supported");
  CHECK(error_of(raw_gguf(huge, 0)) == "tensor 0: cut off: the file ends inside it");
  CHECK(error_of(raw_gguf(0, huge)) == "key 0: cut off: the file ends inside it");
  CHECK(error_of(raw_gguf(0, 1).number(huge)) == "key 0: cut off: the file ends inside it");
  CHECK(error_of(raw_gguf(0, 1).key("", u8).number('x')) ==
        "key 0: expected a name of 1 to 65535 bytes of UTF-8");
  CHECK(error_of(raw_gguf(0, 1).key("\xFF", u8).number('x')) ==
        "key 0: expected a name of 1 to 65535 bytes of UTF-8");
  CHECK(error_of(raw_gguf(0, 1).key("k", static_cast<tern::gguf_type>(13))) ==
        "key 'k': no value has type 13");
  CHECK(error_of(raw_gguf(0, 1).key("k", array).number(id(array)).number(std::uint64_t{0})) ==
        "key 'k': lists of lists are not supported");
  for (const auto type : {u8, u64, string})
    CHECK(error_of(raw_gguf(0, 1).key("k", array).number(id(type)).number(huge).number(huge)) ==
          "key 'k': cut off: the file ends inside it");
  CHECK(error_of(raw_gguf(0, 1)
                     .key("k", array)
                     .number(id(u32))
                     .number(std::uint64_t{5})
                     .number(std::uint64_t{0})) == "key 'k': cut off: the file ends inside it");
  CHECK(error_of(raw_gguf(0, 2).key("k", i8).number('x').key("k", i8).number('x')) ==
        "key 'k': stands twice");
  for (const std::uint32_t alignment : {0u, 3u, 48u})
    CHECK(error_of(raw_gguf(0, 1).key("general.alignment", u32).number(alignment)) ==
          "key 'general.alignment': expected a power of two, got " + std::to_string(alignment));
  CHECK(error_of(raw_gguf(0, 1).key("general.alignment", string).string("32")) ==
        "key 'general.alignment': expected an integer between 0 and 4294967295, got string");

  CHECK(error_of(one().tensor("a", {2, 3}, 0, 0).data(24)) == "opens");
  CHECK(error_of(one().tensor("a", {}, 0, 0).data(4)) == "opens");
  CHECK(error_of(one().tensor("a", {0, huge}, 0, 0).data(0)) == "opens");
  CHECK(error_of(one().tensor("a", {1, 1, 1, 1, 1}, 0, 0)) ==
        "tensor 'a': expected at most 4 dimensions, got 5");
  CHECK(error_of(one().tensor("a", {1}, 77, 0)) == "tensor 'a': no tensor has type id 77");
  CHECK(error_of(one().tensor("a", {1}, 4, 0)) == "tensor 'a': no tensor has type id 4");
  CHECK(error_of(one().tensor("a", {48}, 2, 0)) ==
        "tensor 'a': its rows of 48 elements are not whole blocks of Q4_0, 32 each");
  CHECK(error_of(one().tensor("a", {1ull << 32, 1ull << 32}, 0, 0)) ==
        "tensor 'a': its size overflows");
  CHECK(error_of(one().tensor("a", {1ull << 31, 1ull << 31}, 24, 0)) ==
        "tensor 'a': cut off: ends beyond the end of the file");
  CHECK(error_of(one().tensor("a", {2, 3}, 0, 0).data(23)) ==
        "tensor 'a': cut off: ends beyond the end of the file");
  CHECK(error_of(one().tensor("a", {2, 3}, 0, huge - 31).data(64)) ==
        "tensor 'a': cut off: ends beyond the end of the file");
  CHECK(error_of(one().tensor("a", {2, 3}, 0, 8).data(64)) ==
        "tensor 'a': its offset 8 is not a multiple of 32");
  const auto two = [&](std::string_view second, std::uint64_t offset) {
    return raw_gguf(2, 0).tensor("a", {10}, 0, 32).tensor(second, {8}, 0, offset).data(128);
  };
  CHECK(error_of(two("b", 0)) == "opens");  // out of order
  CHECK(error_of(two("b", 96)) == "opens");
  CHECK(error_of(two("b", 64)) == "tensor 'b': overlaps tensor 'a'");
  CHECK(error_of(two("b", 32)).ends_with("overlaps tensor 'a'"));
  CHECK(error_of(two("a", 96)) == "tensor 'a': stands twice");
}

TEST_CASE("a file of the Python package, in GGUF", "[gguf]") {
  const auto path = fs::path(__FILE__).parent_path().parent_path() / "oracle" / "tiny.gguf";
  const tern::gguf_file file(path);
  CHECK(file.alignment() == 64);
  const auto& meta = file.metadata();
  CHECK(meta.get<std::string>("general.architecture") == "tiny");
  CHECK(meta.get<int>("tiny.block_count") == 3);
  CHECK(meta.get<float>("tiny.rope.freq_base") == 1e6f);
  CHECK(meta.get<bool>("tiny.flag"));
  CHECK(meta.list<std::string>("tiny.words") == std::vector<std::string>{"a", "\u0120b"});
  CHECK(meta.list<int>("tiny.numbers") == std::vector<int>{-1, 0, 7});
  const std::vector<float> expected{0.0f, -1.5f, 3.25f, 65504.0f, 0x1p-14f, -0x1p-24f};
  for (const char* name : {"f32", "f16"}) {
    INFO(name);
    CHECK(file.at(name).shape == std::vector<std::size_t>{2, 3});
    CHECK(tern::read_values(file.at(name)) == expected);
  }
  CHECK(tern::read_values(file.at("bf16")) ==
        std::vector<float>{0, -1.5f, 3.25f, 65536, 0x1p-14f, -0x1p-24f});
  CHECK(file.at("q4_0").shape == std::vector<std::size_t>{2, 64});
  CHECK(tern::ggml_type_name(file.at("iq4_nl").type) == "IQ4_NL");
}

TEST_CASE("a ternary tensor without weights has no scales", "[gguf]") {
  for (const auto type : {tern::ggml_type::tq1_0, tern::ggml_type::tq2_0, tern::ggml_type::i2_s})
    for (const tern::extents empty : {tern::extents{0, 256}, {2, 0}, {0, 0}}) {
      const auto n =
          tern::scale_extents(empty, tern::ternary_scale_block(type, empty.rows, empty.cols));
      CHECK(n.rows * n.cols == 0);
    }
}
