// Writing the tokenizer of a model into its GGUF file, where byte-level BPE is called "gpt2".
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tern/checkpoint/read_gguf_tokenizer.hpp"
#include "tern/core/error.hpp"
#include "tern/gguf/writer.hpp"
#include "tern/text/bpe_tokenizer.hpp"
#include "tern/text/byte_level.hpp"
#include "tern/text/end_tokens.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

inline const gguf_pretokenizer& gguf_pretokenizer_of(const bpe_definition& from) {
  for (const auto& pre : gguf_pretokenizers)
    if (pre.steps() == from.pretokenizer && pre.nfc == !from.normalizer.empty() &&
        pre.whole_words == from.whole_words)
      return pre;
  throw config_error("no tokenizer.ggml.pre of GGUF stands for how this tokenizer cuts text");
}

}  // namespace detail

/// Writes `vocab_size` tokens: those of the tokenizer, then unused ones. The token that ends a text
/// is recognized by its name. Throws config_error where GGUF cannot say what the tokenizer does.
inline void write_gguf_tokenizer(gguf_writer& file, const bpe_tokenizer& tokenizer,
                                 std::size_t vocab_size) {
  const bpe_definition& from = tokenizer.definition();
  const auto& pre = detail::gguf_pretokenizer_of(from);
  if (tokenizer.vocab_size() > vocab_size)
    throw config_error("the tokenizer has " + std::to_string(tokenizer.vocab_size()) +
                       " tokens, the model " + std::to_string(vocab_size));
  if (from.prefix.size() > 1 || from.suffix.size() > 1)
    throw config_error("GGUF puts one token before a text and one behind it, no more");
  using detail::gguf_token;
  std::vector<std::string> tokens(vocab_size);
  std::vector<std::int32_t> types(vocab_size, static_cast<std::int32_t>(gguf_token::unused));
  const auto put = [&](std::size_t id, std::string text, gguf_token type) {
    tokens[id] = std::move(text);
    types[id] = static_cast<std::int32_t>(type);
  };
  for (std::size_t id = 0; id < vocab_size; ++id)
    if (id < from.tokens.size() && !from.tokens[id].empty())
      put(id, to_byte_level(from.tokens[id]), gguf_token::normal);
    else
      tokens[id] = "[PAD" + std::to_string(id) + "]";
  const auto spelled = [&](std::int32_t id) { return tokens[static_cast<std::size_t>(id)]; };
  std::vector<std::string> merges;
  merges.reserve(from.merges.size());
  for (const auto& [left, right] : from.merges)
    merges.push_back(spelled(left) + " " + spelled(right));
  for (const auto& token : from.added)
    put(static_cast<std::size_t>(token.id), token.content,
        token.special ? gguf_token::control : gguf_token::user_defined);

  file.metadata("tokenizer.ggml.model", "gpt2");
  file.metadata("tokenizer.ggml.pre", pre.name);
  file.metadata_list("tokenizer.ggml.tokens", tokens);
  file.metadata_list("tokenizer.ggml.token_type", types);
  file.metadata_list("tokenizer.ggml.merges", merges);
  file.metadata("tokenizer.ggml.add_bos_token", !from.prefix.empty());
  file.metadata("tokenizer.ggml.add_eos_token", !from.suffix.empty());
  const auto id = [&](const char* key, std::optional<std::int32_t> token) {
    if (token) file.metadata(key, static_cast<std::uint32_t>(*token));
  };
  const auto ends = end_tokens(tokenizer);
  const auto end = !from.suffix.empty() ? std::optional(from.suffix.front())
                   : !ends.empty()      ? std::optional(ends.front())
                                        : std::nullopt;
  id("tokenizer.ggml.eos_token_id", end);
  id("tokenizer.ggml.bos_token_id", from.prefix.empty() ? end : from.prefix.front());
}

}  // namespace tern::inline TERN_ABI
