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
#include "tern/text/end_tokens.hpp"
#include "tern/text/text_conventions.hpp"

namespace tern::inline TERN_ABI {

/// The token that ends documents in tokenizers that are trained here, under its name in Qwen's.
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
  std::vector<token_example> unlabelled;               ///< inputs whose answer means nothing
  std::vector<std::int32_t> stream;                    ///< documents, each followed by a separator
  std::int32_t separator = 0;      ///< token after each document and before each prompt
  std::vector<std::int32_t> ends;  ///< tokens that end an answer in free text, beside `separator`
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

namespace detail {

/// The id of a token that a field of the recipe names.
inline std::int32_t token_named(const bpe_tokenizer& tokenizer, const std::string& name,
                                const char* field) {
  const auto id = tokenizer.token_id(name);
  if (!id) throw config_error(std::string(field) + ": the tokenizer has no token \"" + name + "\"");
  return *id;
}

/// The token between documents: the one that the source names, or that ends a document.
inline std::int32_t separator_of(const bpe_tokenizer& tokenizer,
                                 const text_conventions& conventions, const data_source& source) {
  if (!source.separator.empty()) return token_named(tokenizer, source.separator, "data.separator");
  const auto id = document_end(tokenizer, conventions);
  if (!id)
    throw config_error(
        "no file says which token ends a text, and the tokenizer has none whose name says it: "
        "data.separator (--separator) names the token between documents");
  return *id;
}

}  // namespace detail

/// Turns examples and documents into tokens. `conventions` say which token ends a document and an
/// answer; without them tokens are known by their names. Throws config_error where there is no such
/// token, and as label_word_tokens() and example_encoder do.
inline task_data tokenize_task(const task_texts& texts, const bpe_tokenizer& tokenizer,
                               const data_source& source, executor_ref ex = {},
                               const text_conventions& conventions = {}) {
  const std::int32_t separator = detail::separator_of(tokenizer, conventions, source);
  task_data data;
  data.task = texts.task;
  data.separator = separator;
  for (const std::string& name : source.end_tokens)
    data.ends.push_back(detail::token_named(tokenizer, name, "data.end_tokens"));
  if (data.ends.empty()) data.ends = conventions.ends;
  std::erase(data.ends, separator);
  data.answer_tokens = source.answer_tokens;
  data.label_words = label_word_tokens(tokenizer, texts.task.label_words);
  example_encoder encode(tokenizer, texts.task, source, separator, data.label_words);
  const auto part = [&](const std::vector<text_example>& from, task_examples& to) {
    for (const text_example& e : from) {
      to.examples.push_back(encode(e));
      to.references.push_back(e.references);
    }
  };
  part(texts.train, data.train);
  part(texts.dev, data.dev);
  part(texts.test, data.test);
  for (const text_example& e : texts.unlabelled) data.unlabelled.push_back(encode(e));
  const auto make_encoder = [&] {
    return [encoder = tokenizer.encoder()](std::string_view text,
                                           std::vector<std::int32_t>& ids) mutable {
      encoder.encode(text, ids, added_text::plain);
    };
  };
  data.stream = tokenize(texts.documents, make_encoder, separator, ex);
  return data;
}

}  // namespace tern::inline TERN_ABI
