// A conversation as the text that a model reads: with the chat template that comes with the model,
// or in the format of the Qwen family where the model has its tokens.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "tern/core/error.hpp"
#include "tern/core/utf8.hpp"
#include "tern/text/bpe_tokenizer.hpp"
#include "tern/text/chat_template.hpp"
#include "tern/text/jinja_template.hpp"
#include "tern/text/text_conventions.hpp"

namespace tern::inline TERN_ABI {

/// Renders the chat template of the conventions for messages after which the model answers. The
/// variables are those that transformers gives a template: `messages`, `add_generation_prompt`, the
/// names of special tokens, and `tools` and `documents`, which are none. `enable_thinking` is given
/// only if it is false, since templates think by default. Throws config_error as jinja_template
/// does, and format_error where a message is not UTF-8.
inline std::string render_chat(const text_conventions& conventions,
                               std::span<const chat_message> messages,
                               bool enable_thinking = true) {
  std::map<std::string, nlohmann::ordered_json> variables;
  auto list = nlohmann::ordered_json::array();
  for (const chat_message& m : messages) {
    require_utf8(m.content);
    list.push_back({{"role", m.role}, {"content", m.content}});
  }
  variables["messages"] = std::move(list);
  variables["add_generation_prompt"] = true;
  variables["tools"] = nullptr;
  variables["documents"] = nullptr;
  for (const auto& [name, token] : conventions.names) variables[name] = token;
  if (!enable_thinking) variables["enable_thinking"] = false;
  return jinja_template(conventions.chat_template).render(std::move(variables));
}

/// Throws config_error if the text has a control token, such as <|im_start|>, that is not one token
/// of the tokenizer: the model would read its spelling as ordinary text. What stands in the
/// messages themselves is not looked at, and neither are the roles <|system|>, <|user|> and
/// <|assistant|>, which Zephyr and TinyLlama were trained to read as ordinary text.
inline void require_control_tokens(const bpe_tokenizer& tokenizer, std::string_view text,
                                   std::span<const chat_message> messages) {
  constexpr std::array<std::string_view, 3> roles = {"<|system|>", "<|user|>", "<|assistant|>"};
  const auto check = [&](std::string_view token) {
    if (std::ranges::count(roles, token) != 0) return;
    for (const chat_message& m : messages)
      if (m.content.find(token) != m.content.npos) return;
    if (tokenizer.encode(token).size() != 1)
      throw config_error("the chat template writes " + std::string(token) +
                         ", which is no token of the tokenizer");
  };
  for (const auto& [open, close] : {std::pair<std::string_view, std::string_view>{"<|", "|>"},
                                    {"<\uFF5C", "\uFF5C>"},
                                    {"<start_of_", ">"},
                                    {"<end_of_", ">"}}) {
    for (std::size_t at = 0; (at = text.find(open, at)) != text.npos; at += open.size()) {
      const std::size_t end = text.find(close, at + open.size());
      if (end == text.npos) break;
      const std::string_view token = text.substr(at, end + close.size() - at);
      if (token.find_first_of(" \t\r\n") == token.npos) check(token);
    }
  }
  for (const std::string_view token : {"<s>", "</s>", "<bos>", "<eos>"})
    if (text.find(token) != text.npos) check(token);
}

}  // namespace tern::inline TERN_ABI
