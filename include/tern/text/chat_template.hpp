// The chat format of the Qwen family (ChatML): <|im_start|>role, the message, <|im_end|>.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// One message of a conversation.
struct chat_message {
  std::string role;     ///< "system", "user" or "assistant"
  std::string content;  ///< text of the message
};

/// The system message that Qwen2 uses for a conversation that has none. Other models of this format
/// have other sentences; Qwen3 has none.
inline constexpr std::string_view qwen2_system = "You are a helpful assistant.";

/// Options in which model families differ.
struct chat_template_options {
  std::string system = {};            ///< system message for a conversation that has none
  bool add_generation_prompt = true;  ///< whether the text ends where the answer begins
  /// Whether messages may contain thoughts, as with Qwen3. Only messages after the last user
  /// message keep their <think> section then. If false, as for Qwen2, the content is used as it is.
  bool thoughts = true;
  /// Qwen3: whether the model may think. If not, the answer begins after an empty <think> section.
  bool enable_thinking = true;
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

inline std::string think_section(std::string_view thought) {
  return "<think>\n" + std::string(thought) + "\n</think>\n\n";
}

}  // namespace detail

/// Returns the text of a conversation. Encode it with added_text::recognise. A message that
/// contains the spelling of an added token, such as <|im_end|>, is not protected from this.
inline std::string apply_chat_template(std::span<const chat_message> messages,
                                       const chat_template_options& options = {}) {
  std::string text;
  const auto add = [&](std::string_view role, std::string_view thought, std::string_view content) {
    text.append("<|im_start|>").append(role).append("\n").append(thought).append(content);
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
    add(m.role, shown ? detail::think_section(thought) : "",
        shown ? detail::trim_newlines(answer, true, false) : answer);
  }
  if (!options.add_generation_prompt) return text;
  text += "<|im_start|>assistant\n";
  if (options.thoughts && !options.enable_thinking) text += detail::think_section("");
  return text;
}

}  // namespace tern::inline TERN_ABI
