// The embedded language as a task: its corpus, its examples and its closed vocabulary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "microworld.hpp"
#include "tern/recipe/task_data.hpp"
#include "tern/recipe/task_texts.hpp"
#include "tern/text/bpe_tokenizer.hpp"

namespace bitdistill {

/// How many documents and examples are made.
struct microworld_sizes {
  std::size_t documents = 100000;  ///< documents of the corpus
  std::size_t train = 400;         ///< training examples
  std::size_t dev = 1000;          ///< development examples
  std::size_t test = 3000;         ///< test examples
};

/// The embedded task. `seed` draws the corpus and the training examples; dev and test are the same
/// for every seed. Texts begin with a space: each word then has one token (see word_tokenizer).
inline tern::task_texts microworld_texts(const microworld& world, const microworld_sizes& sizes,
                                         std::uint64_t seed) {
  const auto words = microworld::label_words();
  tern::task_texts texts;
  texts.task = {.name = "microworld", .prompt = "{premise}{hypothesis}", .answer = "{label}"};
  texts.task.label_words = {words.begin(), words.end()};
  texts.task.labels = texts.task.label_words;
  const auto part = [&](microworld_part which, std::size_t count, std::uint64_t part_seed) {
    std::vector<tern::text_example> list;
    for (const auto& example : world.pairs(which, count, part_seed)) {
      const std::string& answer = texts.task.label_words[static_cast<std::size_t>(example.label)];
      list.push_back({" " + microworld::prompt(example), answer, {answer}, example.label});
    }
    return list;
  };
  texts.train = part(microworld_part::train, sizes.train, seed);
  texts.dev = part(microworld_part::dev, sizes.dev, 0);
  texts.test = part(microworld_part::test, sizes.test, 0);
  for (auto& document : world.corpus(sizes.documents, seed))
    texts.documents.push_back(" " + std::move(document));
  return texts;
}

/// A tokenizer of a closed vocabulary: the separator is token 0, each word with a space before it
/// is one token, and no other text can be encoded.
inline tern::bpe_tokenizer word_tokenizer(const std::vector<std::string>& words) {
  tern::bpe_definition made;
  made.tokens.emplace_back();
  for (const std::string& word : words) made.tokens.push_back(" " + word);
  made.added = {{std::string(tern::document_separator), 0}};
  made.normalizer.clear();
  made.pretokenizer = {tern::split_step{" [^ ]+"}, tern::byte_level_step{}};
  made.whole_words = true;
  return tern::bpe_tokenizer(std::move(made));
}

}  // namespace bitdistill
