// Tokens that end a text where no file of a model says which they are, and the token that ends a
// document. Added tokens are recognized by the names that model families give them; an entry of the
// vocabulary that happens to have such a name ends nothing.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "tern/text/bpe_tokenizer.hpp"
#include "tern/text/text_conventions.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// Names of tokens that end one message of a chat.
inline constexpr std::array<std::string_view, 7> message_end_names = {
    "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<|end|>", "<|eot|>", "<|return|>"};
/// Names of tokens that end a document.
inline constexpr std::array<std::string_view, 5> document_end_names = {
    "<|endoftext|>", "<|end_of_text|>", "<eos>", "</s>", "<\uFF5Cend\u2581of\u2581sentence\uFF5C>"};

/// Ids of the special added tokens with these names, in the order of the names.
inline std::vector<std::int32_t> special_tokens_named(const bpe_tokenizer& tokenizer,
                                                      std::span<const std::string_view> names) {
  std::vector<std::int32_t> ids;
  for (const std::string_view name : names)
    for (const added_token& token : tokenizer.definition().added)
      if (token.special && token.content == name) ids.push_back(token.id);
  return ids;
}

}  // namespace detail

/// The special added tokens of the tokenizer that end messages of a chat by their names.
inline std::vector<std::int32_t> named_message_ends(const bpe_tokenizer& tokenizer) {
  return detail::special_tokens_named(tokenizer, detail::message_end_names);
}

/// The special added tokens of the tokenizer that end a text by their names: a guess for models
/// whose files do not say it. If there are several, the first one ends an answer.
inline std::vector<std::int32_t> named_ends(const bpe_tokenizer& tokenizer) {
  auto ids = named_message_ends(tokenizer);
  const auto documents = detail::special_tokens_named(tokenizer, detail::document_end_names);
  ids.insert(ids.end(), documents.begin(), documents.end());
  return ids;
}

/// The token that ends a document: the first of the model's end tokens that does not end a message
/// of a chat. If all of them do, it is a special added token that ends a document by its name, or
/// else the first end token. Nothing if the model has no end token.
inline std::optional<std::int32_t> document_end(const bpe_tokenizer& tokenizer,
                                                const text_conventions& conventions) {
  const auto ends = conventions.ends.empty() ? named_ends(tokenizer) : conventions.ends;
  const auto messages = named_message_ends(tokenizer);
  for (const std::int32_t id : ends)
    if (std::ranges::count(messages, id) == 0) return id;
  const auto documents = detail::special_tokens_named(tokenizer, detail::document_end_names);
  if (!documents.empty()) return documents.front();
  return ends.empty() ? std::nullopt : std::optional(ends.front());
}

/// The ids below `vocab_size` that have no text. Models have such ids where their vocabulary is
/// padded or has holes; a generated text must not contain them. `ends` are left out.
inline std::vector<std::int32_t> ids_without_text(const bpe_tokenizer& tokenizer,
                                                  std::size_t vocab_size,
                                                  std::span<const std::int32_t> ends = {}) {
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < vocab_size; ++i) {
    const auto id = static_cast<std::int32_t>(i);
    if (tokenizer.token_text(id).empty() && std::ranges::count(ends, id) == 0) ids.push_back(id);
  }
  return ids;
}

}  // namespace tern::inline TERN_ABI
