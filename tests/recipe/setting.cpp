// Settings as text: what a value means, and where it goes.
#include "tern/recipe/setting.hpp"

#include <string>

#include "tests/message.hpp"
#include "tests/support.hpp"

using namespace tern;

TEST_CASE("a setting is an object whose keys are the words before the equals sign") {
  const auto [text, expected] = GENERATE(table<std::string, std::string>({
      {"a.b=1", R"({"a": {"b": 1}})"},
      {"a.b.c.d=1.5", R"({"a": {"b": {"c": {"d": 1.5}}}})"},
      {"a=true", R"({"a": true})"},
      {"a=[1, 2]", R"({"a": [1, 2]})"},
      {R"(a={"b": null})", R"({"a": {"b": null}})"},
      {"a=two words", R"({"a": "two words"})"},
      {R"(a="1")", R"({"a": "1"})"},
      {"a=b=c", R"({"a": "b=c"})"},
      {"a.b=", R"({"a": {"b": ""}})"},
  }));
  INFO(text);
  CHECK(parse_setting(text) == nlohmann::json::parse(expected));
}

TEST_CASE("a text that is no setting is refused") {
  const auto [text, message] = GENERATE(table<std::string, std::string>({
      {"", "--set: expected key=value, got ''"},
      {"steps", "--set: expected key=value, got 'steps'"},
      {"=1", "--set: expected key=value, got '=1'"},
      {"a=null", "--set: expected a value, got 'a=null'"},
  }));
  INFO(text);
  CHECK(tern_test::message_of<config_error>([&, t = text] { parse_setting(t); }) == message);
}
