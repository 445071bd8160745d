// A task as text, before there is a tokenizer: prompts with labels, and the documents of the
// corpus. From the embedded language or from the files of a text task; tokenize_task makes
// task_data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/executor.hpp"
#include "tern/data/corpus.hpp"
#include "tern/data/read_task.hpp"
#include "tern/recipe/task_data.hpp"
#include "tern/text/bpe_tokenizer.hpp"

namespace tern::inline TERN_ABI {

/// Stands behind every document and before every prompt; has the name it has in Qwen's tokenizers.
inline constexpr std::string_view document_separator = "<|endoftext|>";

/// One example as text.
struct labelled_prompt {
  std::string text;  ///< all but the answer
  int label = 0;     ///< its class, from 0
};

struct task_texts {
  std::vector<std::string> label_words;           ///< the next word after a prompt, by class
  std::vector<labelled_prompt> train, dev, test;  ///< test may be empty
  std::vector<std::string> documents;             ///< the corpus
};

/// Train and dev part of a task of classification; throws as read_task_part().
inline task_texts classification_texts(const std::filesystem::path& directory,
                                       const text_task& task) {
  const auto read = [&](task_part part) {
    std::vector<labelled_prompt> list;
    for (auto& example : read_task_part(directory, task, part))
      list.push_back({std::move(example.prompt), example.label});
    return list;
  };
  return {task.label_words, read(task_part::train), read(task_part::dev), {}, {}};
}

/// A byte-level BPE vocabulary of at most `size` tokens, learned from documents.
inline bpe_tokenizer train_tokenizer(std::span<const std::string> documents, std::size_t size) {
  bpe_train_options options;
  options.vocab_size = size;
  options.special_tokens = {std::string(document_separator)};
  bpe_trainer trainer(std::move(options));
  for (const std::string& document : documents) trainer.add(document);
  return bpe_tokenizer(trainer.finish());
}

/// Everything as tokens, prompts cut to `limit` of them. Throws config_error where the tokenizer
/// has no separator or two label words begin with the same token.
inline task_data tokenize_task(const task_texts& texts, const bpe_tokenizer& tokenizer,
                               std::size_t limit, executor_ref ex = {}) {
  const auto separator = tokenizer.token_id(document_separator);
  if (!separator)
    throw config_error("the tokenizer has no token " + std::string(document_separator));
  bpe_encoder encoder = tokenizer.encoder();
  const auto part = [&](const std::vector<labelled_prompt>& prompts) {
    std::vector<task_example> examples;
    examples.reserve(prompts.size());
    for (const auto& p : prompts)
      examples.push_back(make_example(encoder, *separator, p.text, p.label, limit));
    return examples;
  };
  task_data data;
  data.separator = *separator;
  data.label_tokens = label_tokens(tokenizer, texts.label_words);
  data.train = part(texts.train);
  data.dev = part(texts.dev);
  data.test = part(texts.test);
  const auto make_encoder = [&] {
    return [encode = tokenizer.encoder()](std::string_view text,
                                          std::vector<std::int32_t>& ids) mutable {
      encode.encode(text, ids, added_text::plain);
    };
  };
  data.stream = tokenize(texts.documents, make_encoder, *separator, ex);
  return data;
}

}  // namespace tern::inline TERN_ABI
