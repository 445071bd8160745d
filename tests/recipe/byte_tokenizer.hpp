#pragma once
#include <string>

#include "tern/recipe/task_data.hpp"
#include "tern/text/bpe_tokenizer.hpp"

namespace tern_test {

/// A tokenizer whose tokens are the 256 bytes, then the separator of documents.
inline const tern::bpe_tokenizer& byte_tokenizer() {
  static const auto t = tern::bpe_tokenizer::train(
      "", {.vocab_size = 257, .special_tokens = {std::string(tern::document_separator)}});
  return t;
}

}  // namespace tern_test
