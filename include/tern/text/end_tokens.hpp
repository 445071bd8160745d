// Which tokens end a text: a tokenizer does not say, the usual families call them by these names.
#pragma once

#include <cstdint>
#include <vector>

#include "tern/text/bpe_tokenizer.hpp"

namespace tern::inline TERN_ABI {

/// Those that the tokenizer has; the first ends an answer where a family has several.
inline std::vector<std::int32_t> end_tokens(const bpe_tokenizer& tokenizer) {
  std::vector<std::int32_t> ids;
  for (const char* name : {"<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|endoftext|>",
                           "<|end_of_text|>", "<eos>", "</s>"})
    if (const auto id = tokenizer.token_id(name)) ids.push_back(*id);
  return ids;
}

}  // namespace tern::inline TERN_ABI
