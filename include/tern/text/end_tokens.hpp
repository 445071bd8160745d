// The tokens that end a text. A tokenizer does not say which they are, so they are found by the
// names that the usual model families give them.
#pragma once

#include <cstdint>
#include <vector>

#include "tern/text/bpe_tokenizer.hpp"

namespace tern::inline TERN_ABI {

/// Returns the end tokens that the tokenizer has. If there are several, the first one ends an
/// answer.
inline std::vector<std::int32_t> end_tokens(const bpe_tokenizer& tokenizer) {
  std::vector<std::int32_t> ids;
  for (const char* name : {"<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|endoftext|>",
                           "<|end_of_text|>", "<eos>", "</s>"})
    if (const auto id = tokenizer.token_id(name)) ids.push_back(*id);
  return ids;
}

}  // namespace tern::inline TERN_ABI
