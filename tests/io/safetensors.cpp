#include "tern/io/safetensors.hpp"

#include <cmath>
#include <numeric>

#include "tern/adapt/eigen.hpp"
#include "tern/io/safetensors_writer.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

namespace {

namespace fs = std::filesystem;
using tern_test::message_of;

/// Writes a file that has this header, and `data_size` zero bytes behind it.
fs::path raw_file(const tern_test::scratch_dir& dir, const std::string& header,
                  std::size_t data_size, std::uint64_t claimed_size = 0) {
  const std::uint64_t size = claimed_size != 0 ? claimed_size : header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &size, 8);
  const auto path = dir.path() / "x.safetensors";
  tern::write_file(path, bytes + header + std::string(data_size, '\0'));
  return path;
}

std::string error_of(const fs::path& path) {
  const auto what = message_of<tern::format_error>([&] { tern::safetensors_file file(path); });
  if (what == "no error") return "opens";
  return what.starts_with(path.string() + ": ") ? what.substr(path.string().size() + 2)
                                                : "does not name the file: " + what;
}

tern::matrix<float> counting_matrix(std::size_t rows, std::size_t cols) {
  auto m = tern::tensor_traits<tern::matrix<float>>::make(rows, cols);
  std::iota(m.data(), m.data() + m.size(), 0.5f);
  return m;
}

}  // namespace

TEST_CASE("tensors come back as they were written", "[safetensors]") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "m.safetensors";
  const auto m = counting_matrix(3, 5);
  const std::vector<float> gain{1, 2, 3};
  const std::vector<std::int8_t> codes{-1, 0, 1, 1, 0, -1, 1};
  const std::vector<std::int64_t> scalar{-42};
  const std::vector<float> none;
  tern::safetensors_writer writer;
  writer.add_values<std::int8_t>("codes", {7}, codes);
  writer.add_matrix<float>("m", m);
  writer.add_matrix<float>("m.transposed", tern::matrix_view<const float>(m).transposed());
  writer.add_matrix<float>("m.bf16", m, tern::dtype::bf16);
  writer.add_row<float>("gain", gain, tern::dtype::f16);
  writer.add_values<std::int64_t>("scalar", {}, scalar);
  writer.add_values<float>("none", {0, 4}, none);
  writer.metadata("format", "pt");
  writer.metadata("quote", "\"tern.crc32\":\"12345678\"");
  writer.write(path);

  const tern::safetensors_file file(path);
  CHECK(file.metadata().at("format") == "pt");
  CHECK(file.metadata().at("quote") == "\"tern.crc32\":\"12345678\"");
  CHECK(file.verify());
  CHECK(file.tensors().size() == 7);
  for (const auto& t : file.tensors()) {
    INFO(t.name);
    CHECK(reinterpret_cast<std::uintptr_t>(t.data.data()) % tern::dtype_size(t.dtype) == 0);
  }
  tern::matrix<float> back = tern::matrix<float>::Zero(3, 5);
  tern::read_matrix<float>(file.at("m"), back);
  CHECK(back == m);
  back.setZero();
  tern::read_matrix(file.at("m.transposed"), tern::matrix_view<float>(back).transposed());
  CHECK(back == m);
  tern::matrix<double> wide = tern::matrix<double>::Zero(3, 5);
  tern::read_matrix<double>(file.at("m.bf16"), wide);
  CHECK(wide == m.cast<double>());  // bf16 stores multiples of 0.5 below 16 exactly
  std::vector<float> row(3);
  tern::read_row<float>(file.at("gain"), row);
  CHECK(row == gain);
  CHECK(tern::read_values<std::int8_t>(file.at("codes")) == codes);
  CHECK(tern::read_values<float>(file.at("codes"))[0] == -1.0f);
  CHECK(tern::read_values<std::int64_t>(file.at("scalar")) == scalar);
  CHECK(file.at("none").shape == std::vector<std::size_t>{0, 4});
  CHECK(file.contains("m"));
  CHECK_FALSE(file.contains("M"));
}

TEST_CASE("a tensor that takes several writes", "[safetensors]") {
  const tern_test::scratch_dir dir;
  const auto m = counting_matrix(601, 700);
  tern::safetensors_writer writer;
  writer.add_matrix<float>("m", m);
  writer.write(dir.path() / "t");
  const tern::safetensors_file file(dir.path() / "t");
  CHECK(file.verify());
  tern::matrix<float> back = tern::matrix<float>::Zero(601, 700);
  tern::read_matrix<float>(file.at("m"), back);
  CHECK(back == m);
}

TEST_CASE("reading what does not fit names file and tensor", "[safetensors]") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "m.safetensors";
  const auto m = counting_matrix(2, 3);
  tern::safetensors_writer writer;
  writer.add_matrix<float>("w", m);
  writer.write(path);
  const tern::safetensors_file file(path);
  tern::matrix<float> wrong = tern::matrix<float>::Zero(3, 2);
  const auto name = path.string();
  CHECK(message_of<tern::format_error>([&] { tern::read_matrix<float>(file.at("w"), wrong); }) ==
        name + ": tensor 'w': expected shape [3, 2], got [2, 3]");
  CHECK(message_of<tern::format_error>([&] { tern::read_values<std::int32_t>(file.at("w")); }) ==
        name + ": tensor 'w': dtype F32 cannot be read as I32");
  CHECK(message_of<tern::format_error>([&] { (void)file.at("v"); }) == name + ": no tensor 'v'");
}

TEST_CASE("the writer refuses what no file can hold", "[safetensors]") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "m.safetensors";
  const auto m = counting_matrix(2, 3);
  const std::vector<std::int32_t> ints(6);
  tern::safetensors_writer twice, invalid, wrong_type;
  twice.add_matrix<float>("w", m);
  twice.add_matrix<float>("w", m);
  CHECK_THROWS_AS(twice.write(path), tern::config_error);
  CHECK_THROWS_AS(twice.add_values<std::int32_t>("i", {7}, ints), tern::shape_error);
  invalid.metadata("key", "\xFF");
  CHECK_THROWS_AS(invalid.write(path), tern::config_error);
  wrong_type.add_matrix<std::int32_t>("i", tern::matrix_view<const std::int32_t>(ints.data(), 2, 3),
                                      tern::dtype::bf16);
  CHECK_THROWS_AS(wrong_type.write(path), tern::config_error);
  CHECK(fs::is_empty(dir.path()));
}

TEST_CASE("damage is found", "[safetensors]") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "m.safetensors";
  const auto m = counting_matrix(4, 4);
  tern::safetensors_writer writer;
  writer.metadata("step", "17");
  writer.add_matrix<float>("w", m);
  writer.write(path);
  const std::string whole(tern::mapped_file(path).text());
  REQUIRE(error_of(path) == "opens");

  for (std::size_t n = 0; n < whole.size(); ++n) {  // a file that is cut off is refused
    tern::write_file(path, whole.substr(0, n));
    REQUIRE(error_of(path) != "opens");
  }
  for (std::size_t i = 0; i < whole.size(); ++i) {  // a flipped bit is found
    std::string flipped = whole;
    flipped[i] = static_cast<char>(flipped[i] ^ (1 << (i % 8)));
    tern::write_file(path, flipped);
    std::string outcome = "refused";
    try {
      outcome = tern::safetensors_file(path).verify() ? "passed" : "nothing to check by";
    } catch (const tern::format_error&) {
    }
    INFO(i);
    const bool in_key = whole.substr(i < 12 ? 0 : i - 12, 24).find("tern.crc32") != whole.npos;
    REQUIRE((outcome == "refused" || (in_key && outcome == "nothing to check by")));
  }
  tern::write_file(path, whole + "x");
  CHECK(error_of(path) == "1 bytes after the last tensor");
}

TEST_CASE("a header is refused where it lies, and names the tensor", "[safetensors]") {
  const auto tensor = [](const std::string& name, const std::string& rest) {
    return "\"" + name + "\":{\"dtype\":\"F32\"," + rest + "}";
  };
  const auto a = [&](const std::string& rest) { return "{" + tensor("a", rest) + "}"; };
  const std::string one = R"("shape":[1],"data_offsets":[0,4])";
  const std::string two = R"("shape":[1],"data_offsets":[4,8])";
  const auto [name, header, data_size,
              expected] = GENERATE_COPY(table<std::string, std::string, std::size_t, std::string>({
      {"two tensors and trailing spaces", "{" + tensor("a", one) + "," + tensor("b", two) + "}  ",
       8, "opens"},
      {"tensors in another order than their data",
       "{" + tensor("a", two) + "," + tensor("b", one) + "}", 8, "opens"},
      {"nothing at all", "{}", 0, "opens"},
      {"metadata alone", R"({"__metadata__":{"a":"1"}})", 0, "opens"},
      {"data that no tensor has", "{}", 3, "3 bytes after the last tensor"},
      {"two tensors in one place", "{" + tensor("a", one) + "," + tensor("b", one) + "}", 8,
       "tensor 'b': overlaps another tensor"},
      {"a hole in the data", "{" + tensor("b", two) + "}", 8,
       "tensor 'b': a hole lies before it in the data"},
      {"a name twice", "{" + tensor("a", one) + "," + tensor("a", two) + "}", 8,
       "tensor 'a': stands twice"},
      {"a key twice", a(one + ",\"shape\":[1]"), 4, "tensor 'a': key 'shape' stands twice"},
      {"data that is cut off", "{" + tensor("a", one) + "," + tensor("b", two) + "}", 7,
       "tensor 'b': cut off: ends beyond the end of the file"},
      {"a shape that is not as large as the data", a(R"("shape":[2],"data_offsets":[0,4])"), 4,
       "tensor 'a': dtype and shape make 8 bytes, data_offsets 4"},
      {"a size that overflows", a(R"("shape":[4611686018427387904,4],"data_offsets":[0,0])"), 0,
       "tensor 'a': its size overflows"},
      {"an end before the beginning", a(R"("shape":[1],"data_offsets":[4,0])"), 4,
       "tensor 'a': data_offsets must be [begin, end]"},
      {"three offsets", a(R"("shape":[1],"data_offsets":[0,4,8])"), 4,
       "tensor 'a': data_offsets must be [begin, end]"},
      {"no offsets", a(R"("shape":[1])"), 4, "tensor 'a': 'data_offsets' is missing"},
      {"an unknown key", a(one + R"(,"x":"y")"), 4, "tensor 'a': unexpected a string at 'x'"},
      {"a negative extent", a(R"("shape":[-1],"data_offsets":[0,4])"), 4,
       "tensor 'a': unexpected a negative number at 'shape'"},
      {"an extent that is no integer", a(R"("shape":[1.5],"data_offsets":[0,4])"), 4,
       "tensor 'a': unexpected a number that is not a 64-bit integer at 'shape'"},
      {"a list in the shape", a(R"("shape":[[1]],"data_offsets":[0,4])"), 4,
       "tensor 'a': unexpected a list at 'shape'"},
      {"an object for a shape", a(R"("shape":{},"data_offsets":[0,4])"), 4,
       "tensor 'a': unexpected an object at 'shape'"},
      {"an object in the shape", a(R"("shape":[{}],"data_offsets":[0,4])"), 4,
       "tensor 'a': unexpected an object at 'shape'"},
      {"an unknown dtype", R"({"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}})", 4,
       "tensor 'a': unknown dtype 'F33'"},
      {"a list for a tensor", R"({"a":[]})", 0, "tensor 'a': unexpected a list"},
      {"a number for a tensor", R"({"a":1})", 0, "tensor 'a': unexpected a number"},
      {"metadata that is a number", R"({"__metadata__":{"a":1}})", 0,
       "tensor '__metadata__': unexpected a number at 'a'"},
      {"metadata that is a string", R"({"__metadata__":"a"})", 0,
       "tensor '__metadata__': unexpected a string"},
      {"a header without its end", "{", 0, "the header is not valid JSON at its byte 2"},
      {"two headers", "{} {}", 0, "the header is not valid JSON at its byte 4"},
      {"a name that is not UTF-8", "{\"\xFF\":1}", 0, "the header is not valid JSON at its byte 3"},
      {"a space before the header", " {}", 0,
       "not a safetensors file: the header does not begin with '{'"},
  }));
  INFO(name);
  const tern_test::scratch_dir dir;
  CHECK(error_of(raw_file(dir, header, data_size)) == expected);
}

TEST_CASE("a header's size is refused where it cannot be", "[safetensors]") {
  const auto [size, expected] = GENERATE(table<std::uint64_t, std::string>(
      {{100'000'001, "not a safetensors file: header of 100000001 bytes"},
       {3, "cut off: the header ends beyond the end of the file"}}));
  const tern_test::scratch_dir dir;
  CHECK(error_of(raw_file(dir, "{}", 0, size)) == expected);
}

TEST_CASE("a file of the Python package", "[safetensors]") {
  const auto path = fs::path(__FILE__).parent_path().parent_path() / "oracle" / "tiny.safetensors";
  const tern::safetensors_file file(path);
  CHECK_FALSE(file.verify());
  CHECK(file.metadata().at("made_by") == "safetensors.torch");
  const std::vector<float> expected{0.0f, -1.5f, 3.25f, 65504.0f, 0x1p-14f, -0x1p-24f};
  for (const char* name : {"f32", "f64", "f16"}) {
    INFO(name);
    CHECK(file.at(name).shape == std::vector<std::size_t>{2, 3});
    CHECK(tern::read_values<float>(file.at(name)) == expected);
  }
  const auto bf16 = tern::read_values<double>(file.at("bf16"));
  CHECK(bf16 == std::vector<double>{0, -1.5, 3.25, 65536, 0x1p-14, -0x1p-24});
  CHECK(tern::read_values<std::int8_t>(file.at("i8")) == std::vector<std::int8_t>{-128, 0, 127});
  CHECK(tern::read_values<std::uint8_t>(file.at("u8")) == std::vector<std::uint8_t>{0, 7, 255});
  CHECK(tern::read_values<std::int64_t>(file.at("i64")) == std::vector<std::int64_t>{-5});
  CHECK(file.at("i64").shape.empty());
}
