#include "tern/io/safetensors.hpp"

#include <cmath>
#include <numeric>

#include "tern/adapt/eigen.hpp"
#include "tern/io/safetensors_shards.hpp"
#include "tern/io/safetensors_writer.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

namespace {

namespace fs = std::filesystem;
using tern_test::message_of;

/// A file of this header, with `data_size` zero bytes behind it.
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

tern::matrix<float> counting(std::size_t rows, std::size_t cols) {
  auto m = tern::tensor_traits<tern::matrix<float>>::make(rows, cols);
  std::iota(m.data(), m.data() + m.size(), 0.5f);
  return m;
}

}  // namespace

TEST_CASE("tensors come back as they were written", "[safetensors]") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "m.safetensors";
  const auto m = counting(3, 5);
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
  CHECK(wide == m.cast<double>());  // halves below 16 are exact in bf16
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
  const auto m = counting(601, 700);
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
  const auto m = counting(2, 3);
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
  const auto m = counting(2, 3);
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
  const auto m = counting(4, 4);
  tern::safetensors_writer writer;
  writer.metadata("step", "17");
  writer.add_matrix<float>("w", m);
  writer.write(path);
  const std::string whole(tern::mapped_file(path).text());
  REQUIRE(error_of(path) == "opens");

  for (std::size_t n = 0; n < whole.size(); ++n) {  // cut off anywhere
    tern::write_file(path, whole.substr(0, n));
    REQUIRE(error_of(path) != "opens");
  }
  for (std::size_t i = 0; i < whole.size(); ++i) {  // any bit flipped
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

TEST_CASE("headers that lie", "[safetensors]") {
  const tern_test::scratch_dir dir;
  const auto check = [&](const std::string& header, std::size_t data_size,
                         const std::string& expected) {
    INFO(header);
    CHECK(error_of(raw_file(dir, header, data_size)) == expected);
  };
  const auto tensor = [](const std::string& name, const std::string& rest) {
    return "\"" + name + "\":{\"dtype\":\"F32\"," + rest + "}";
  };
  const std::string one = R"("shape":[1],"data_offsets":[0,4])";
  const std::string two = R"("shape":[1],"data_offsets":[4,8])";

  check("{" + tensor("a", one) + "," + tensor("b", two) + "}  ", 8, "opens");
  check("{" + tensor("a", two) + "," + tensor("b", one) + "}", 8, "opens");
  check("{}", 0, "opens");
  check("{}", 3, "3 bytes after the last tensor");
  check("{" + tensor("a", one) + "," + tensor("b", one) + "}", 8,
        "tensor 'b': overlaps another tensor");
  check("{" + tensor("b", two) + "}", 8, "tensor 'b': a hole lies before it in the data");
  check("{" + tensor("a", one) + "," + tensor("a", two) + "}", 8, "tensor 'a': stands twice");
  check("{" + tensor("a", one + ",\"shape\":[1]") + "}", 4, "tensor 'a': key 'shape' stands twice");
  check("{" + tensor("a", one) + "," + tensor("b", two) + "}", 7,
        "tensor 'b': cut off: ends beyond the end of the file");
  check("{" + tensor("a", R"("shape":[2],"data_offsets":[0,4])") + "}", 4,
        "tensor 'a': dtype and shape make 8 bytes, data_offsets 4");
  check("{" + tensor("a", R"("shape":[4611686018427387904,4],"data_offsets":[0,0])") + "}", 0,
        "tensor 'a': its size overflows");
  check("{" + tensor("a", R"("shape":[1],"data_offsets":[4,0])") + "}", 4,
        "tensor 'a': data_offsets must be [begin, end]");
  check("{" + tensor("a", R"("shape":[1],"data_offsets":[0,4,8])") + "}", 4,
        "tensor 'a': data_offsets must be [begin, end]");
  check("{" + tensor("a", R"("shape":[1])") + "}", 4, "tensor 'a': 'data_offsets' is missing");
  check("{" + tensor("a", one + R"(,"x":"y")") + "}", 4, "tensor 'a': unexpected a string at 'x'");
  check("{" + tensor("a", R"("shape":[-1],"data_offsets":[0,4])") + "}", 4,
        "tensor 'a': unexpected a negative number at 'shape'");
  check("{" + tensor("a", R"("shape":[1.5],"data_offsets":[0,4])") + "}", 4,
        "tensor 'a': unexpected a number that is not a 64-bit integer at 'shape'");
  check("{" + tensor("a", R"("shape":[[1]],"data_offsets":[0,4])") + "}", 4,
        "tensor 'a': unexpected a list at 'shape'");
  check("{" + tensor("a", R"("shape":{},"data_offsets":[0,4])") + "}", 4,
        "tensor 'a': unexpected an object at 'shape'");
  check("{" + tensor("a", R"("shape":[{}],"data_offsets":[0,4])") + "}", 4,
        "tensor 'a': unexpected an object at 'shape'");
  check(R"({"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}})", 4,
        "tensor 'a': unknown dtype 'F33'");
  check(R"({"a":[]})", 0, "tensor 'a': unexpected a list");
  check(R"({"a":1})", 0, "tensor 'a': unexpected a number");
  check(R"({"__metadata__":{"a":1}})", 0, "tensor '__metadata__': unexpected a number at 'a'");
  check(R"({"__metadata__":{"a":"1"}})", 0, "opens");
  check(R"({"__metadata__":"a"})", 0, "tensor '__metadata__': unexpected a string");
  check("{", 0, "the header is not valid JSON at its byte 2");
  check("{} {}", 0, "the header is not valid JSON at its byte 4");
  check("{\"\xFF\":1}", 0, "the header is not valid JSON at its byte 3");
  check(" {}", 0, "not a safetensors file: the header does not begin with '{'");
  CHECK(error_of(raw_file(dir, "{}", 0, 100'000'001)) ==
        "not a safetensors file: header of 100000001 bytes");
  CHECK(error_of(raw_file(dir, "{}", 0, 3)) ==
        "cut off: the header ends beyond the end of the file");
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

TEST_CASE("checkpoints in one file and in shards", "[safetensors_shards]") {
  const tern_test::scratch_dir dir;
  const auto a = counting(2, 2), b = counting(3, 1);
  tern::safetensors_writer first, second;
  first.add_matrix<float>("a", a);
  second.add_matrix<float>("b", b);
  first.write(dir.path() / "model-1.safetensors");
  second.write(dir.path() / "model-2.safetensors");
  const auto index = dir.path() / "model.safetensors.index.json";
  const auto map_to = [&](const std::string& file_of_b) {
    tern::write_json(index, {{"metadata", {{"total_size", 28}}},
                             {"weight_map", {{"a", "model-1.safetensors"}, {"b", file_of_b}}}});
  };
  const auto open = [&] { tern::safetensors_shards reader(dir.path()); };

  CHECK_THROWS_AS(open(), tern::io_error);
  map_to("model-2.safetensors");
  const tern::safetensors_shards reader(dir.path());
  CHECK(reader.names() == std::vector<std::string>{"a", "b"});
  CHECK(reader.files().size() == 2);
  tern::matrix<float> back = tern::matrix<float>::Zero(3, 1);
  tern::read_matrix<float>(reader.at("b"), back);
  CHECK(back == b);
  CHECK_THROWS_AS(reader.at("c"), tern::format_error);

  map_to("model-1.safetensors");
  CHECK(message_of<tern::format_error>(open) ==
        index.string() + ": tensor 'b' is not in 'model-1.safetensors'");
  map_to("model-3.safetensors");
  CHECK_THROWS_AS(open(), tern::io_error);
  map_to("../model-2.safetensors");
  CHECK(message_of<tern::format_error>(open).find("is not the name of a file beside it") !=
        std::string::npos);
  tern::write_file(index, R"({"weight_map": {"a": "x", "a": "y"}})");
  CHECK(message_of<tern::format_error>(open) ==
        index.string() + ": key \"a\" stands twice in one object");
  fs::remove(index);
  second.write(dir.path() / "model.safetensors");
  CHECK(tern::safetensors_shards(dir.path()).names() == std::vector<std::string>{"b"});
  CHECK(tern::safetensors_shards(dir.path() / "model-1.safetensors").contains("a"));
}
