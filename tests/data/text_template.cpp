#include "tern/data/text_template.hpp"

#include "tests/message.hpp"
#include "tests/support.hpp"

namespace {

using strings = std::vector<std::string>;

/// The template with the name of each column in square brackets in its places.
std::string filled(const std::string& text) {
  const tern::text_template t(text);
  return t.fill([&](std::size_t i) { return "[" + t.columns()[i] + "]"; });
}

}  // namespace

TEST_CASE("columns stand in braces", "[text_template]") {
  const auto [text, columns, expected] = GENERATE(table<std::string, strings, std::string>(
      {{"", {}, ""},
       {"plain", {}, "plain"},
       {"{a}", {"a"}, "[a]"},
       {"{b} So {a}?", {"b", "a"}, "[b] So [a]?"},
       {"{a}{b}{a}", {"a", "b"}, "[a][b][a]"},
       {"{two words} {1}", {"two words", "1"}, "[two words] [1]"},
       {"{{a}} {{{a}}}", {"a"}, "{a} {[a]}"}}));
  CAPTURE(text);
  CHECK(tern::text_template(text).columns() == columns);
  CHECK(filled(text) == expected);
}

TEST_CASE("spaces at the ends of a value are left out", "[text_template]") {
  const auto [value, expected] = GENERATE(table<std::string, std::string>(
      {{" a  b ", "<a  b>"}, {"   ", "<>"}, {"", "<>"}, {"\ta\n", "<\ta\n>"}}));
  CAPTURE(value);
  CHECK(tern::text_template("<{x}>").fill([v = value](std::size_t) { return v; }) == expected);
}

TEST_CASE("braces without a partner or a name are refused", "[text_template]") {
  const auto [text, expected] = GENERATE(
      table<std::string, std::string>({{"{a", "'}' after '{'"},
                                       {"{a{b}", "'}' after '{'"},
                                       {"a}", "'{' before '}'"},
                                       {"{a}}", "'{' before '}'"},
                                       {"{}", "the name of a column between '{' and '}'"}}));
  CHECK(tern_test::message_of<tern::config_error>(
            [t = text] { static_cast<void>(tern::text_template(t)); }) ==
        "template '" + text + "': expected " + expected + "; a literal brace is written twice");
}
