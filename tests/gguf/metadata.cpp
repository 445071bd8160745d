#include "tern/gguf/metadata.hpp"

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "tests/gguf/sample.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

using tern_test::sample_file;

TEST_CASE("a value of each type comes back", "[gguf]") {
  const tern_test::scratch_dir dir;
  const tern::gguf_file file = sample_file(dir.path());
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
}

TEST_CASE("a list of each kind comes back", "[gguf]") {
  const tern_test::scratch_dir dir;
  const tern::gguf_file file = sample_file(dir.path());
  const auto& meta = file.metadata();
  CHECK(meta.list<std::string>("words") == std::vector<std::string>{"a", "", "\xC4\xA0t"});
  CHECK(meta.list<long>("numbers") == std::vector<long>{1, -2, 3});
  CHECK(meta.list<bool>("flags") == std::vector<bool>{true, false});
  CHECK(meta.list<float>("nothing").empty());
}

TEST_CASE("a fallback stands for a key that is missing, not for one that is there", "[gguf]") {
  const tern_test::scratch_dir dir;
  const tern::gguf_file file = sample_file(dir.path());
  CHECK(file.metadata().get_or<int>("i32", 7) == -2000000000);
  CHECK(file.metadata().get_or<int>("missing", 7) == 7);
}

TEST_CASE("a value that is not what was asked for is refused by its key", "[gguf]") {
  using read = std::function<void(const tern::gguf_metadata&)>;
  const auto [message, ask] = GENERATE(table<std::string, read>({
      {"key 'missing': is missing", [](auto& m) { (void)m.template get<int>("missing"); }},
      {"key 'u32': expected an integer between -2147483648 and 2147483647, got u32 4000000000",
       [](auto& m) { (void)m.template get<int>("u32"); }},
      {"key 'i8': expected an integer between 0 and 4294967295, got i8 -100",
       [](auto& m) { (void)m.template get<std::uint32_t>("i8"); }},
      {"key 'f32': expected an integer between -2147483648 and 2147483647, got f32",
       [](auto& m) { (void)m.template get<int>("f32"); }},
      {"key 'b': expected an integer between -2147483648 and 2147483647, got bool",
       [](auto& m) { (void)m.template get<int>("b"); }},
      {"key 'u8': expected true or false, got u8 200",
       [](auto& m) { (void)m.template get<bool>("u8"); }},
      {"key 'i32': expected a floating-point number, got i32 -2000000000",
       [](auto& m) { (void)m.template get<double>("i32"); }},
      {"key 'words': expected a string, got list of string",
       [](auto& m) { (void)m.template get<std::string>("words"); }},
      {"key 'words': expected a list, each an integer between -2147483648 and 2147483647, got list "
       "of string",
       [](auto& m) { (void)m.template list<int>("words"); }},
      {"key 'text': expected a list, each a string, got string",
       [](auto& m) { (void)m.template list<std::string>("text"); }},
      {"key 'numbers': expected a list, each an integer between 0 and 4294967295, got list of i32",
       [](auto& m) { (void)m.template list<std::uint32_t>("numbers"); }},
  }));
  const tern_test::scratch_dir dir;
  const tern::gguf_file file = sample_file(dir.path());
  CHECK(tern_test::message_of<tern::format_error>([&, &call = ask] { call(file.metadata()); }) ==
        file.path().string() + ": " + message);
}
