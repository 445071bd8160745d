// The embedded language as a task: its corpus, its examples, its closed vocabulary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "microworld.hpp"
#include "tern/recipe/task_texts.hpp"

namespace bitdistill {

/// Of the parts.
struct microworld_sizes {
  /// Documents of the corpus, examples of each part.
  std::size_t documents = 100000, train = 400, dev = 1000, test = 3000;
};

/// The embedded task. `seed` draws the corpus and the training examples; dev and test are the same
/// for every seed. Texts begin with a space: each word then has one token (see word_tokenizer).
inline tern::task_texts microworld_texts(const microworld& world, const microworld_sizes& sizes,
                                         std::uint64_t seed) {
  const auto words = microworld::label_words();
  tern::task_texts texts{{words.begin(), words.end()}, {}, {}, {}, {}};
  const auto part = [&](microworld_part which, std::size_t count, std::uint64_t part_seed) {
    std::vector<tern::labelled_prompt> list;
    for (const auto& example : world.pairs(which, count, part_seed))
      list.push_back({" " + microworld::prompt(example), example.label});
    return list;
  };
  texts.train = part(microworld_part::train, sizes.train, seed);
  texts.dev = part(microworld_part::dev, sizes.dev, 0);
  texts.test = part(microworld_part::test, sizes.test, 0);
  for (auto& document : world.corpus(sizes.documents, seed))
    texts.documents.push_back(" " + std::move(document));
  return texts;
}

/// A tokenizer of a closed vocabulary: the separator is 0, each word with a space before it one
/// token, and nothing else can be encoded.
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
