#include "tern/json/read_json.hpp"

#include <string>

#include "tern/core/atomic_file.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

using tern_test::message_of;

TEST_CASE("a JSON file is read") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "c.json";
  tern::write_file(path, R"({"a": 1, "b": ["x", 2.5, null]})");
  CHECK(tern::read_json(path) == nlohmann::json{{"a", 1}, {"b", {"x", 2.5, nullptr}}});
}

TEST_CASE("a JSON file that is missing is an io_error") {
  const tern_test::scratch_dir dir;
  CHECK_THROWS_AS(tern::read_json(dir.path() / "none"), tern::io_error);
}

TEST_CASE("a text that is not JSON is refused with its file, line and column") {
  const auto [name, text, message] = GENERATE(table<std::string, std::string, std::string>({
      {"a comma too many", "{\"a\":\n 1,}", "f: not valid JSON: parse error at line 2, column 4"},
      {"an empty text", "", "f: not valid JSON: parse error at line 1, column 1"},
      {"text behind the value", "{} x", "f: not valid JSON: parse error at line 1, column 4"},
      {"a string that is not UTF-8", "\"\xFF\"", "f: not valid JSON: parse error at line 1"},
      {"a key twice in an inner object", R"({"a": {"k": 1, "k": 2}})",
       "f: key \"k\" stands twice in one object"},
      {"a million lists in one another", std::string(1 << 20, '['), "f: nested deeper than 256"},
  }));
  INFO(name);
  const auto what =
      message_of<tern::format_error>([&, &json = text] { tern::parse_json(json, "f"); });
  INFO(what);
  CHECK(what.starts_with(message));
}

TEST_CASE("a key may stand in several objects") {
  CHECK(tern::parse_json(R"([{"k": 1}, {"k": {"k": 2}}])", "f").size() == 2);
}
