// How the program writes a conversation for a model, and which tokens end an answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tern/checkpoint/model_text.hpp"
#include "tern/text/chat_template.hpp"

namespace bitdistill {

/// Whether the chat template of the model, or the format in its place, can leave out thoughts.
bool can_skip_thoughts(const tern::model_text& text);

/// Puts the messages into the chat template of the model, or into the format of the Qwen family
/// if the model has no template but the tokens of this format. It does not check that the tokenizer
/// knows the tokens of a template: see tern::require_control_tokens(). Throws config_error where
/// the template cannot be used.
std::string chat_text(const tern::model_text& text, std::span<const tern::chat_message> messages,
                      bool enable_thinking, const std::string& model_type);

/// The tokens that end an answer: those of these names (--end-token), or those of the model where
/// there are none. `chat`: the prompt was made by chat_text(). Throws config_error where the
/// tokenizer has no token of a name.
std::vector<std::int32_t> ends_of(const tern::model_text& text,
                                  const std::vector<std::string>& names, bool chat);

}  // namespace bitdistill
