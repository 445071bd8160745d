// Compares the texts of templates with those that transformers makes of them.
#include "tern/text/jinja_template.hpp"

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "tern/text/chat_prompt.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

using ordered = nlohmann::ordered_json;

namespace {

ordered read_ordered(const std::filesystem::path& path) {
  std::ifstream file(path);
  return ordered::parse(file);
}

std::string rendered(const std::string& source) {
  std::map<std::string, ordered> variables{{"n", 7}, {"list", {1, 2}}};
  return tern::jinja_template(source).render(variables);
}

}  // namespace

TEST_CASE("templates give the texts of transformers", "[jinja]") {
  const auto oracle = read_ordered(std::filesystem::path(__FILE__).parent_path().parent_path() /
                                   "oracle" / "jinja.json");
  std::map<std::string, ordered> variables;
  for (const auto& [name, value] : oracle.at("variables").items()) variables[name] = value;
  for (const auto& c : oracle.at("cases")) {
    INFO(c.at("name"));
    CHECK(tern::jinja_template(c.at("template").get<std::string>()).render(variables) ==
          c.at("text").get<std::string>());
  }
  CHECK(oracle.at("cases").size() == 57);
}

TEST_CASE("the templates of Qwen2.5 and Qwen3 give the texts of transformers", "[jinja]") {
  const auto cases = ordered::parse(
#include "tests/oracle/chat_template.inc"
  );
  std::map<std::string, std::string> templates;
  for (const auto& [form, file] : {std::pair("qwen2", "configs/Qwen2.5-0.5B/tokenizer_config.json"),
                                   std::pair("qwen3", "tokenizers/qwen3/tokenizer_config.json")}) {
    const auto path = tern_test::data_file(file);
    if (path.empty()) return;
    templates[form] = read_ordered(path).at("chat_template");
  }
  for (const auto& c : cases) {
    CAPTURE(c.dump());
    std::map<std::string, ordered> variables{
        {"messages", c.at("messages")},
        {"add_generation_prompt", c.at("add_generation_prompt")},
        {"enable_thinking", c.at("enable_thinking")},
        {"tools", nullptr}};
    CHECK(tern::jinja_template(templates.at(c.at("form"))).render(variables) ==
          c.at("text").get<std::string>());
  }
}

TEST_CASE("a construct that is not supported is refused by name and line", "[jinja]") {
  const auto [source, message] = GENERATE(table<std::string, std::string>({
      {"\n{% include 'a' %}", "line 2: the statement 'include' is not supported"},
      {"{% for i in list recursive %}{% endfor %}", "'recursive' was not expected"},
      {"{{ n | wordwrap }}", "the filter 'wordwrap' is not supported"},
      {"{{ n is callable }}", "the test 'callable' is not supported"},
      {"{{ cycler(1) }}", "the function 'cycler' is not supported"},
      {"{{ 'a'.encode() }}", "the method 'encode' is not supported"},
      {"{{ list.append(3) }}", "the method 'append' is not supported"},
      {"{{ list }}", "a list or dictionary as text is not supported"},
      {"{{ '%s' % n }}", "'%' of a string and a number is not supported"},
      {"{{ n ? 1 }}", "the character '?' is not supported"},
      {"{{ missing.role }}", "a member of a value that is not defined is wanted: missing"},
      {"{{ 'a' + missing }}", "'+' of a string and a value that is not defined"},
      {"{{ missing | tojson }}", "tojson of a value that is not defined"},
      {"{{ none | join }}", "a loop needs a list"},
      {"{{ {'a': 1}.items }}", "the method 'items' is not called"},
      {"{{ {'items': 1}.items }}", "the method 'items' is not called"},
      {"{{ {'a': 1}['get'] }}", "the method 'get' is not called"},
      {"{{ 'a'.upper is defined }}", "the method 'upper' is not called"},
      {"{{ list[true] }}", "a subscript that is true or false is not supported"},
      {"{{ {1: 2} }}", "the keys of a dictionary must be strings"},
      {"{{ range }}", "'range' as a value is not supported"},
      {"{% macro f() %}{{ varargs }}{% endmacro %}{{ f(1) }}",
       "the macro 'f' has fewer parameters"},
      {"{% macro f() %}{{ varargs }}{% endmacro %}{{ f() }}", "'varargs' as a value"},
      {"{% for i in list %}{% macro f() %}{% endmacro %}{% endfor %}", "a macro inside a loop"},
      {"{{ 'straße' | upper }}", "upper or lower case of characters such as U+00DF"},
      {"{{ 'ΑΣ' | lower }}", "upper or lower case of characters such as U+00DF"},
      {"{{ n is sameas 7 }}", "is supported for true, false and none alone"},
  }));
  const auto what = tern_test::message_of<tern::config_error>([&, &s = source] { rendered(s); });
  INFO(source << " -> " << what);
  CHECK(what.starts_with("chat template, line "));
  CHECK(what.find(message) != what.npos);
}

TEST_CASE("a template that is damaged is refused", "[jinja]") {
  const auto [source, message] = GENERATE(table<std::string, std::string>({
      {"{{ n", "'}}' is missing"},
      {"{% if n %}", "the statement has no end"},
      {"{% endif %}", "'endif' was not expected"},
      {"{% if n %}{% endfor %}", "expected 'endif', got 'endfor'"},
      {"{% if n %}{% else if n %}{% endif %}", "'if' was not expected"},
      {"{% if n %}{% endif n %}", "'n' was not expected"},
      {"{% for i in list %}{% break n %}{% endfor %}", "'n' was not expected"},
      {"{% break %}", "'break' outside a loop"},
      {"{% for i in list %}{% endfor %}{% continue %}", "'continue' outside a loop"},
      {"{{ '\\ud83d' }}", "half of a character"},
      {"{# n", "a comment has no end"},
      {"{{ 'n }}", "a string has no end"},
      {"{{ (1 }}", "expected ')'"},
      {"{{ }}", "an expression is missing"},
      {"{{ 1 // 0 }}", "divided by 0"},
      {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "macros call one another too deeply"},
      {std::string("{{ ") + std::string(200, '(') + "1" + std::string(200, ')') + " }}",
       "nested too deeply"},
      {"{% for i in range(1000000) %}{% endfor %}", "gives more than 100000 numbers"},
      {"{{ 'a'.split('b', 'c') }}", "an integer is needed"},
      {"{{ 9000000000 * 9000000000 }}", "integers beyond 2^31 are not supported"},
      {"{{ [1, 2][::9000000000] }}", "integers beyond 2^31 are not supported"},
      {"{% set ns = namespace(x='a') %}{% for i in range(40) %}{% set ns.x = ns.x ~ ns.x %}{% "
       "endfor %}",
       "a text is longer than 64 MB"},
      {"{% set ns = namespace(x=1) %}{% for i in range(99) %}{% set ns.x = [ns.x] %}{% endfor %}",
       "lists and dictionaries are nested too deeply"},
      {"{{ not " + std::string(600, '-') + "1 }}", "an expression is too long"},
  }));
  const auto what = tern_test::message_of<tern::config_error>([&, &s = source] { rendered(s); });
  INFO(what);
  CHECK(what.find(message) != what.npos);
}

TEST_CASE("the message of raise_exception is that of the error", "[jinja]") {
  CHECK(tern_test::message_of<tern::config_error>([] {
          rendered("{{ raise_exception('roles must alternate') }}");
        }) == "chat template: roles must alternate");
}

TEST_CASE("the date of a template has its format", "[jinja]") {
  const auto date = rendered("{{ strftime_now('%Y-%m') }}");
  REQUIRE(date.size() == 7);
  CHECK(date[4] == '-');
}

TEST_CASE("a chat has the variables that transformers gives a template", "[jinja]") {
  tern::text_conventions conventions;
  conventions.names = {{"bos_token", "<s>"}};
  conventions.chat_template =
      "{{ bos_token }}{{ tools is none }}{{ add_generation_prompt }}{{ enable_thinking is defined "
      "}}"
      "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}";
  const std::vector<tern::chat_message> messages{{"user", "hi"}};
  CHECK(tern::render_chat(conventions, messages) == "<s>TrueTrueFalse[user]hi");
  CHECK(tern::render_chat(conventions, messages, false) == "<s>TrueTrueTrue[user]hi");
}

TEST_CASE("a chat with control tokens that the tokenizer lacks is refused", "[jinja]") {
  const auto tokenizer = tern::bpe_tokenizer::train(
      "", {.vocab_size = 300, .special_tokens = {"<|im_start|>", "<end_of_turn>"}});
  const std::vector<tern::chat_message> messages{{"user", "a <|x|> b"}};
  const auto message = [&](const std::string& text) {
    return tern_test::message_of<tern::config_error>(
        [&] { tern::require_control_tokens(tokenizer, text, messages); });
  };
  CHECK(message("<|im_start|>user\na <|x|> b<end_of_turn>") == "no error");
  CHECK(message("<|im_start|>user<|im_end|>") ==
        "the chat template writes <|im_end|>, which is no token of the tokenizer");
  CHECK(message("<start_of_turn>").find("<start_of_turn>") != std::string::npos);
  CHECK(message("hi</s>").find("writes </s>") != std::string::npos);
  CHECK(message("<|user|>\nhi\n<|assistant|>\n") == "no error");
}
