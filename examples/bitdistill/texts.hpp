// Reads the data that settings name.
#pragma once

#include "settings.hpp"
#include "tern/recipe/task_texts.hpp"

namespace bitdistill {

/// Whether stages of the list learn from the corpus, and from the task.
struct needs {
  bool corpus = false, task = false;
};
needs needs_of(const std::vector<tern::stage>& stages);

tern::task_texts load_texts(const settings& s, needs what);

/// The model's, the given one, the one `saved` in the run before, or a new one.
tern::bpe_tokenizer make_tokenizer(const settings& s, const tern::task_texts& texts,
                                   const std::filesystem::path& saved);

}  // namespace bitdistill
