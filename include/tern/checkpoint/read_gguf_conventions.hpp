// What the metadata of a GGUF file say about its texts.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tern/gguf/metadata.hpp"
#include "tern/text/bpe_tokenizer.hpp"
#include "tern/text/end_tokens.hpp"
#include "tern/text/text_conventions.hpp"

namespace tern::inline TERN_ABI {

/// Reads the conventions of a file whose tokenizer is given. Ends are the tokens of all keys at
/// which llama.cpp ends a text: those of a text, a turn, a message, and of a gap that is filled in.
/// Old files have only the first key, so control tokens that end a message by their names end a
/// text, too, as they do in llama.cpp. Throws format_error naming file and key.
inline text_conventions read_gguf_conventions(const gguf_metadata& from,
                                              const bpe_tokenizer& tokenizer) {
  text_conventions made;
  const auto id = [&](const std::string& which) -> std::optional<std::int32_t> {
    const std::string key = "tokenizer.ggml." + which + "_token_id";
    if (!from.contains(key)) return {};
    const auto value = from.get<std::int64_t>(key);  // -1 or 2^32 - 1 stand for no token
    const bool known = value >= 0 && static_cast<std::uint64_t>(value) < tokenizer.vocab_size();
    return known ? std::optional(static_cast<std::int32_t>(value)) : std::nullopt;
  };
  const auto add = [&](std::optional<std::int32_t> end) {
    if (end && std::ranges::count(made.ends, *end) == 0) made.ends.push_back(*end);
  };
  made.bos = id("bos");
  made.pad = id("padding");
  made.tokenizer_end = id("eos");
  for (const char* key : {"eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep"}) add(id(key));
  for (const std::int32_t end : named_message_ends(tokenizer)) add(end);
  for (const auto& [name, token] : {std::pair("bos_token", made.bos),
                                    {"eos_token", made.tokenizer_end},
                                    {"pad_token", made.pad},
                                    {"unk_token", id("unknown")}})
    if (token) made.names[name] = tokenizer.token_text(*token);
  made.chat_template = from.get_or<std::string>("tokenizer.chat_template", "");
  return made;
}

}  // namespace tern::inline TERN_ABI
