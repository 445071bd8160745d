// A task as the trainer sees it: tokenised prompts with labels, and the token stream of the corpus.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/recipe/stages.hpp"
#include "tern/text/bpe_tokenizer.hpp"

namespace tern::inline TERN_ABI {

struct task_data {
  std::vector<std::int32_t> label_tokens;  ///< what follows a prompt of each class, all different
  std::vector<task_example> train, dev, test;  ///< test may be empty
  std::vector<std::int32_t> stream;            ///< documents with separators between them
  std::int32_t separator = 0;                  ///< stands between documents

  /// Where accuracy is reported.
  [[nodiscard]] std::span<const task_example> reported() const { return test.empty() ? dev : test; }
};

/// First token of each label word as it follows a prompt; throws config_error where two share one.
inline std::vector<std::int32_t> label_tokens(const bpe_tokenizer& tokenizer,
                                              std::span<const std::string> words) {
  std::vector<std::int32_t> tokens;
  for (const std::string& word : words) {
    const auto ids = tokenizer.encode(" " + word);
    if (ids.empty() || std::ranges::find(tokens, ids[0]) != tokens.end())
      throw config_error("label word '" + word +
                         "' has no first token of its own in this tokenizer");
    tokens.push_back(ids[0]);
  }
  return tokens;
}

/// `separator` and the tokens of a prompt, at most `limit` in all: of a longer prompt the front is
/// cut, the end (the question) stays.
inline task_example make_example(bpe_encoder& encoder, std::int32_t separator,
                                 std::string_view prompt, std::int32_t label, std::size_t limit) {
  task_example e{{separator}, label};
  encoder.encode(prompt, e.tokens, added_text::plain);
  if (e.tokens.size() > limit)
    e.tokens.erase(e.tokens.begin() + 1,
                   e.tokens.begin() + 1 + static_cast<std::ptrdiff_t>(e.tokens.size() - limit));
  return e;
}

}  // namespace tern::inline TERN_ABI
