// The chat format of the Qwen family (ChatML): <|im_start|>role, the message, <|im_end|>.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// One turn.
struct chat_message {
  std::string role;     ///< "system", "user" or "assistant"
  std::string content;  ///< what was said
};

/// What Qwen2 puts first where a conversation has no system message of its own. Other models of the
/// form have sentences of their own, Qwen3 none.
inline constexpr std::string_view qwen2_system = "You are a helpful assistant.";

/// What families differ in.
struct chat_template_options {
  std::string system = {};            ///< used where the first message is none of "system", if any
  bool add_generation_prompt = true;  ///< end with the opening of the assistant's answer
  bool thoughts = true;               ///< Qwen3: only what follows the last user message keeps its
                                      ///< <think> block; false, as for Qwen2: content as it is
  bool enable_thinking = true;        ///< Qwen3: false opens the answer behind an empty block
};

namespace detail {

inline std::string_view trim_newlines(std::string_view text, bool front, bool back) {
  while (front && text.starts_with('\n')) text.remove_prefix(1);
  while (back && text.ends_with('\n')) text.remove_suffix(1);
  return text;
}

struct thought_and_answer {
  std::string_view thought, answer;
};

inline thought_and_answer split_thought(std::string_view content) {
  constexpr std::string_view open = "<think>", close = "</think>";
  const std::size_t first = content.find(close);
  if (first == content.npos) return {"", content};
  std::string_view thought = trim_newlines(content.substr(0, first), false, true);
  if (const auto at = thought.rfind(open); at != thought.npos) thought = thought.substr(at + 7);
  const auto answer = content.substr(content.rfind(close) + close.size());
  return {trim_newlines(thought, true, true), trim_newlines(answer, true, false)};
}

inline std::string think_block(std::string_view thought) {
  return "<think>\n" + std::string(thought) + "\n</think>\n\n";
}

}  // namespace detail

/// The text of a conversation, to be encoded with added tokens recognised: a message that spells
/// one, such as <|im_end|>, is not protected from it.
inline std::string apply_chat_template(std::span<const chat_message> messages,
                                       const chat_template_options& options = {}) {
  std::string text;
  const auto add = [&](std::string_view role, std::string_view block, std::string_view content) {
    text.append("<|im_start|>").append(role).append("\n").append(block).append(content);
    text += "<|im_end|>\n";
  };
  std::size_t last_query = messages.empty() ? 0 : messages.size() - 1;
  for (std::size_t i = messages.size(); i-- > 0;)
    if (messages[i].role == "user") {
      last_query = i;
      break;
    }
  const bool own_system = !messages.empty() && messages[0].role == "system";
  if (!own_system && !options.system.empty()) add("system", "", options.system);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const chat_message& m = messages[i];
    if (!options.thoughts || m.role != "assistant") {
      add(m.role, "", m.content);
      continue;
    }
    const auto [thought, answer] = detail::split_thought(m.content);
    const bool shown = i > last_query && (i + 1 == messages.size() || !thought.empty());
    add(m.role, shown ? detail::think_block(thought) : "",
        shown ? detail::trim_newlines(answer, true, false) : answer);
  }
  if (!options.add_generation_prompt) return text;
  text += "<|im_start|>assistant\n";
  if (options.thoughts && !options.enable_thinking) text += detail::think_block("");
  return text;
}

}  // namespace tern::inline TERN_ABI
