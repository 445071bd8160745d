// Reads the data that a recipe names.
#pragma once

#include <string>

#include "settings.hpp"
#include "tern/recipe/task_texts.hpp"
#include "tern/text/bpe_tokenizer.hpp"

namespace bitdistill {

/// The texts that the stages of the recipe learn from and are measured on.
tern::task_texts load_texts(const tern::recipe& r);

/// Reads one part of the task: "train", "dev", "test", or "reported", which is test, or dev where
/// the task has no test part. The other parts are empty. Throws as read_task_part() does.
tern::task_texts load_part(const tern::data_source& d, const std::string& part);

/// The tokenizer of the model, the one that the data source names, or a new one: that of the
/// embedded language, or one that is trained on the corpus.
tern::bpe_tokenizer make_tokenizer(const settings& s, const tern::task_texts& texts);

}  // namespace bitdistill
