#include "chat.hpp"

#include "tern/core/error.hpp"
#include "tern/text/chat_prompt.hpp"

namespace bitdistill {
namespace {

/// The format of the Qwen family, for its models that come without a template.
std::string qwen_chat(std::span<const tern::chat_message> messages, bool enable_thinking,
                      const std::string& model_type) {
  tern::chat_template_options chat;
  chat.thoughts = model_type == "qwen3";
  chat.enable_thinking = enable_thinking;
  if (model_type == "qwen2") chat.system = tern::qwen2_system;
  return tern::apply_chat_template(messages, chat);
}

}  // namespace

bool can_skip_thoughts(const tern::model_text& text) {
  const std::string& own = text.conventions.chat_template;
  return own.empty() || own.find("enable_thinking") != own.npos;
}

std::string chat_text(const tern::model_text& text, std::span<const tern::chat_message> messages,
                      bool enable_thinking, const std::string& model_type) {
  const bool own = !text.conventions.chat_template.empty();
  if (!own && text.tokenizer->encode("<|im_start|>").size() != 1)
    throw tern::config_error(
        "the model has no chat template, and its tokenizer has no token <|im_start|> for the "
        "format of the Qwen family");
  return own ? tern::render_chat(text.conventions, messages, enable_thinking)
             : qwen_chat(messages, enable_thinking, model_type);
}

std::vector<std::int32_t> ends_of(const tern::model_text& text,
                                  const std::vector<std::string>& names, bool chat) {
  std::vector<std::int32_t> ids;
  if (names.empty()) {
    ids = text.conventions.ends;
    const auto message_end = text.tokenizer->token_id("<|im_end|>");
    if (chat && text.conventions.chat_template.empty() && message_end) ids.push_back(*message_end);
    return ids;
  }
  for (const std::string& name : names) {
    const auto id = text.tokenizer->token_id(name);
    if (!id) throw tern::config_error("--end-token: the tokenizer has no token \"" + name + "\"");
    ids.push_back(*id);
  }
  return ids;
}

}  // namespace bitdistill
