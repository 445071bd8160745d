// What the files of a model say about its texts: which tokens begin and end them, and how a chat is
// written.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// The tokens to which a model gives a meaning, as ids of its tokenizer. The defaults say nothing.
struct text_conventions {
  std::optional<std::int32_t> bos = {};  ///< token that begins a text
  std::optional<std::int32_t> pad = {};  ///< token that fills a batch
  std::vector<std::int32_t> ends = {};   ///< tokens that end a generated text
  /// The end token of the tokenizer. In a chat it usually ends a message, and the documents of a
  /// corpus end with another one.
  std::optional<std::int32_t> tokenizer_end = {};
  /// The tokens that a chat template may name, such as {"bos_token", "<s>"}.
  std::map<std::string, std::string> names = {};
  std::string chat_template = {};  ///< template of a chat in the language Jinja; may be empty
  bool operator==(const text_conventions&) const = default;
};

}  // namespace tern::inline TERN_ABI
