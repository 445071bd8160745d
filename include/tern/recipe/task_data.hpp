// The data of a recipe as tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/executor.hpp"
#include "tern/data/corpus.hpp"
#include "tern/recipe/task_texts.hpp"
#include "tern/recipe/token_example.hpp"
#include "tern/text/bpe_tokenizer.hpp"
#include "tern/text/bpe_trainer.hpp"

namespace tern::inline TERN_ABI {

/// The token that follows every document and precedes every prompt, under its name in Qwen's
/// tokenizers.
inline constexpr std::string_view document_separator = "<|endoftext|>";

/// One part of a task: its examples, and the answers that count as right for each of them.
struct task_examples {
  std::vector<token_example> examples;               ///< examples as tokens
  std::vector<std::vector<std::string>> references;  ///< acceptable answers to each, as text
};

/// The task and the corpus of a recipe as tokens.
struct task_data {
  text_task task;                                      ///< what the examples are
  std::vector<std::vector<std::int32_t>> label_words;  ///< tokens by class; empty for free text
  task_examples train, dev, test;                      ///< parts of the task; they may be empty
  std::vector<std::int32_t> stream;                    ///< documents, each followed by a separator
  std::int32_t separator = 0;      ///< token between documents; it also ends answers in free text
  std::size_t answer_tokens = 64;  ///< most tokens that an evaluation generates

  /// The part on which results are reported: test, or dev where there is no test part.
  [[nodiscard]] const task_examples& reported() const { return test.examples.empty() ? dev : test; }
};

/// Trains a byte-level BPE tokenizer of at most `size` tokens on documents.
inline bpe_tokenizer train_tokenizer(std::span<const std::string> documents, std::size_t size) {
  bpe_train_options options;
  options.vocab_size = size;
  options.special_tokens = {std::string(document_separator)};
  bpe_trainer trainer(std::move(options));
  for (const std::string& document : documents) trainer.add(document);
  return bpe_tokenizer(trainer.finish());
}

/// Turns examples and documents into tokens. Throws config_error where the tokenizer has no
/// separator, and as label_word_tokens() and example_encoder do.
inline task_data tokenize_task(const task_texts& texts, const bpe_tokenizer& tokenizer,
                               const data_source& source, executor_ref ex = {}) {
  const auto separator = tokenizer.token_id(document_separator);
  if (!separator)
    throw config_error("the tokenizer has no token " + std::string(document_separator));
  task_data data;
  data.task = texts.task;
  data.separator = *separator;
  data.answer_tokens = source.answer_tokens;
  data.label_words = label_word_tokens(tokenizer, texts.task.label_words);
  example_encoder encode(tokenizer, texts.task, source, *separator, data.label_words);
  const auto part = [&](const std::vector<text_example>& from, task_examples& to) {
    for (const text_example& e : from) {
      to.examples.push_back(encode(e));
      to.references.push_back(e.references);
    }
  };
  part(texts.train, data.train);
  part(texts.dev, data.dev);
  part(texts.test, data.test);
  const auto make_encoder = [&] {
    return [encoder = tokenizer.encoder()](std::string_view text,
                                           std::vector<std::int32_t>& ids) mutable {
      encoder.encode(text, ids, added_text::plain);
    };
  };
  data.stream = tokenize(texts.documents, make_encoder, *separator, ex);
  return data;
}

}  // namespace tern::inline TERN_ABI
