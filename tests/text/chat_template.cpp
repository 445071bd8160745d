// Compares conversations with those that transformers renders with the templates of Qwen2.5 and
// Qwen3.
#include "tern/text/chat_template.hpp"

#include <nlohmann/json.hpp>
#include <vector>

#include "tests/support.hpp"

TEST_CASE("conversations equal those of apply_chat_template", "[text]") {
  const auto cases = nlohmann::json::parse(
#include "tests/oracle/chat_template.inc"
  );
  for (const auto& c : cases) {
    std::vector<tern::chat_message> messages;
    for (const auto& m : c.at("messages")) messages.push_back({m.at("role"), m.at("content")});
    tern::chat_template_options options;
    options.add_generation_prompt = c.at("add_generation_prompt");
    options.enable_thinking = c.at("enable_thinking");
    options.thoughts = c.at("form") == "qwen3";
    if (!options.thoughts) options.system = tern::qwen2_system;
    CAPTURE(c.dump());
    CHECK(tern::apply_chat_template(messages, options) == c.at("text").get<std::string>());
  }
  CHECK(cases.size() == 54);
}

TEST_CASE("a conversation without messages is the opening of an answer", "[text]") {
  CHECK(tern::apply_chat_template({}) == "<|im_start|>assistant\n");
  CHECK(tern::apply_chat_template({}, {.add_generation_prompt = false}).empty());
}
