#include "tern/gguf/file.hpp"

#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "tests/gguf/sample.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

namespace {

namespace fs = std::filesystem;
using tern_test::codes;
using tern_test::message_of;
using tern_test::sample_file;

/// A GGUF file that is put together by hand, so that it can lie.
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

/// Reads everything that a file has. Throws nothing but tern::error.
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

using tern::gguf_type;

std::uint32_t id(gguf_type type) { return static_cast<std::uint32_t>(type); }

constexpr auto huge = std::numeric_limits<std::uint64_t>::max();

/// A file with one tensor "a" that claims these extents, this type and this offset, and with so
/// many bytes of data.
raw_gguf with_tensor(std::vector<std::uint64_t> extents, std::uint32_t type, std::uint64_t offset,
                     std::size_t data) {
  return raw_gguf(1, 0).tensor("a", std::move(extents), type, offset).data(data);
}

/// A file with a tensor "a" of 40 bytes at offset 32, and a second one of 32 bytes.
raw_gguf with_second(std::string_view name, std::uint64_t offset) {
  return raw_gguf(2, 0).tensor("a", {10}, 0, 32).tensor(name, {8}, 0, offset).data(128);
}

raw_gguf with_alignment(std::uint32_t alignment) {
  return raw_gguf(0, 1).key("general.alignment", gguf_type::u32).number(alignment);
}

/// A file with a list that claims so many elements and has 8 bytes.
raw_gguf with_list(gguf_type of, std::uint64_t count) {
  return raw_gguf(0, 1).key("k", gguf_type::array).number(id(of)).number(count).number(huge);
}

}  // namespace

TEST_CASE("a file knows its version, its alignment and its tensors", "[gguf]") {
  const tern_test::scratch_dir dir;
  const auto file = sample_file(dir.path());
  CHECK(file.version() == 3);
  CHECK(file.alignment() == 32);
  CHECK(file.tensors().size() == 10);
  CHECK(file.names()[4] == "gain");
}

TEST_CASE("a matrix of numbers is read within its type's rounding", "[gguf]") {
  const auto [name, error] = GENERATE(table<std::string, float>({
      {"m", 0.0f},
      {"m.f16", 0x1p-12f},
      {"m.bf16", 0x1p-9f},
      {"m.q8", 0.5f / 127 + 0x1p-12f},  // half a code, and the rounding of the scale to F16
  }));
  INFO(name);
  const tern_test::scratch_dir dir;
  const auto file = sample_file(dir.path());
  tern::matrix<float> back = tern::matrix<float>::Zero(3, 64);
  tern::read_matrix<float>(file.at(name), back);
  CHECK((back - tern_test::wave<float>(3, 64, 0.5)).cwiseAbs().maxCoeff() <= error);
}

TEST_CASE("a matrix is read into columns of doubles", "[gguf]") {
  const tern_test::scratch_dir dir;
  const auto file = sample_file(dir.path());
  tern::matrix<double> wide = tern::matrix<double>::Zero(64, 3);
  tern::read_matrix(file.at("m"), tern::matrix_view<double>(wide).transposed());
  CHECK(wide == tern_test::wave<float>(3, 64, 0.5).transpose().cast<double>());
}

TEST_CASE("a row and single blocks are read", "[gguf]") {
  const tern_test::scratch_dir dir;
  const auto file = sample_file(dir.path());
  std::vector<float> gain(3);
  tern::read_row<float>(file.at("gain"), gain);
  CHECK(gain == std::vector<float>{1, -2, 3});
  CHECK(tern::read_values(file.at("q4"))[0] == 1.0f);
  CHECK(tern::read_values(file.at("q4"))[16] == -7.0f);
}

TEST_CASE("a tensor that is not there, or of another shape, is refused by name", "[gguf]") {
  const tern_test::scratch_dir dir;
  const auto file = sample_file(dir.path());
  std::vector<float> row(4);
  CHECK(message_of<tern::format_error>([&] { (void)file.at("missing"); }) ==
        file.path().string() + ": no tensor 'missing'");
  CHECK(message_of<tern::format_error>([&] { tern::read_row<float>(file.at("gain"), row); }) ==
        file.path().string() + ": tensor 'gain': expected shape [4], got [3]");
}

TEST_CASE("ternary tensors keep their codes", "[gguf]") {
  const auto [name, layout] = GENERATE(table<std::string, tern::i2_s_layout>(
      {{"t1", {}}, {"t2", {}}, {"t3", tern::i2_s_layout::x86}, {"t4", tern::i2_s_layout::arm}}));
  INFO(name);
  const tern_test::scratch_dir dir;
  const auto file = sample_file(dir.path(), layout);
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

TEST_CASE("a ternary tensor without weights has no scales", "[gguf]") {
  for (const auto type : {tern::ggml_type::tq1_0, tern::ggml_type::tq2_0, tern::ggml_type::q2_0,
                          tern::ggml_type::i2_s})
    for (const tern::extents empty : {tern::extents{0, 256}, {2, 0}, {0, 0}}) {
      const auto n =
          tern::scale_extents(empty, tern::ternary_scale_block(type, empty.rows, empty.cols));
      CHECK(n.rows * n.cols == 0);
    }
}

TEST_CASE("a key of a header is refused where it lies", "[gguf]") {
  using enum gguf_type;
  const std::string cut_off = "cut off: the file ends inside it";
  const auto [name, file, expected] = GENERATE_COPY(table<std::string, raw_gguf, std::string>({
      {"no keys", raw_gguf(0, 0), "opens"},
      {"version 2", raw_gguf(0, 0, 2), "opens"},
      {"version 1", raw_gguf(0, 0, 1), "expected GGUF version 2 or 3, got 1"},
      {"version 4", raw_gguf(0, 0, 4), "expected GGUF version 2 or 3, got 4"},
      {"big-endian", raw_gguf(0, 0, 0x03000000), "big-endian GGUF is not supported"},
      {"more keys than bytes", raw_gguf(0, huge), "key 0: " + cut_off},
      {"a name longer than the file", raw_gguf(0, 1).number(huge), "key 0: " + cut_off},
      {"no name", raw_gguf(0, 1).key("", u8).number('x'),
       "key 0: expected a name of 1 to 65535 bytes of UTF-8"},
      {"a name that is not UTF-8", raw_gguf(0, 1).key("\xFF", u8).number('x'),
       "key 0: expected a name of 1 to 65535 bytes of UTF-8"},
      {"an unknown type", raw_gguf(0, 1).key("k", static_cast<gguf_type>(13)),
       "key 'k': no value has type 13"},
      {"a list of lists", raw_gguf(0, 1).key("k", array).number(id(array)).number(std::uint64_t{0}),
       "key 'k': lists of lists are not supported"},
      {"a list of bytes longer than the file", with_list(u8, huge), "key 'k': " + cut_off},
      {"a list of numbers whose size overflows", with_list(u64, huge), "key 'k': " + cut_off},
      {"a list of strings longer than the file", with_list(string, huge), "key 'k': " + cut_off},
      {"a list of numbers that is cut off", with_list(u32, 5), "key 'k': " + cut_off},
      {"a key twice", raw_gguf(0, 2).key("k", i8).number('x').key("k", i8).number('x'),
       "key 'k': stands twice"},
      {"alignment 0", with_alignment(0), "key 'general.alignment': expected a power of two, got 0"},
      {"alignment 3", with_alignment(3), "key 'general.alignment': expected a power of two, got 3"},
      {"alignment 48", with_alignment(48),
       "key 'general.alignment': expected a power of two, got 48"},
      {"an alignment that is a string",
       raw_gguf(0, 1).key("general.alignment", string).string("32"),
       "key 'general.alignment': expected an integer between 0 and 4294967295, got string"},
  }));
  INFO(name);
  CHECK(error_of(file) == expected);
}

TEST_CASE("a tensor of a header is refused where it lies", "[gguf]") {
  const std::string outside = "tensor 'a': cut off: ends beyond the end of the file";
  constexpr std::uint32_t f32 = 0, q4_0 = 2, removed = 4, i8 = 24, unknown = 77;
  const auto [name, file, expected] = GENERATE_COPY(table<std::string, raw_gguf, std::string>({
      {"a matrix", with_tensor({2, 3}, f32, 0, 24), "opens"},
      {"one number", with_tensor({}, f32, 0, 4), "opens"},
      {"no elements, whatever the other extent", with_tensor({0, huge}, f32, 0, 0), "opens"},
      {"more tensors than bytes", raw_gguf(huge, 0), "tensor 0: cut off: the file ends inside it"},
      {"five dimensions", with_tensor({1, 1, 1, 1, 1}, f32, 0, 0),
       "tensor 'a': expected at most 4 dimensions, got 5"},
      {"an unknown type", with_tensor({1}, unknown, 0, 0), "tensor 'a': no tensor has type id 77"},
      {"a type that llama.cpp removed", with_tensor({1}, removed, 0, 0),
       "tensor 'a': no tensor has type id 4"},
      {"rows that are no whole blocks", with_tensor({48}, q4_0, 0, 0),
       "tensor 'a': its rows of 48 elements are not whole blocks of Q4_0, 32 each"},
      {"a size that overflows", with_tensor({1ull << 32, 1ull << 32}, f32, 0, 0),
       "tensor 'a': its size overflows"},
      {"a size that just does not", with_tensor({1ull << 31, 1ull << 31}, i8, 0, 0), outside},
      {"data that is cut off", with_tensor({2, 3}, f32, 0, 23), outside},
      {"an offset that overflows", with_tensor({2, 3}, f32, huge - 31, 64), outside},
      {"an offset that is not aligned", with_tensor({2, 3}, f32, 8, 64),
       "tensor 'a': its offset 8 is not a multiple of 32"},
      {"data in another order", with_second("b", 0), "opens"},
      {"data with a gap", with_second("b", 96), "opens"},
      {"the second tensor in the end of the first", with_second("b", 64),
       "tensor 'b': overlaps tensor 'a'"},
      {"a name twice", with_second("a", 96), "tensor 'a': stands twice"},
  }));
  INFO(name);
  CHECK(error_of(file) == expected);
}

TEST_CASE("two tensors in one place are refused", "[gguf]") {
  CHECK(error_of(with_second("b", 32)).find("overlaps tensor '") != std::string::npos);
}

TEST_CASE("cut off anywhere or with any byte changed: an error or a file, never a crash",
          "[gguf]") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "m.gguf";
  tern_test::write_sample(path, tern_test::wave<float>(1, 32, 0.5));
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
  CHECK(refused > header);  // at least a third of the changes is noticed
  for (std::size_t n = whole.size(); n-- > 0;) {
    fs::resize_file(path, n);
    REQUIRE(error_of(path) != "opens");
  }
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
