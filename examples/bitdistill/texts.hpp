// Reads the data that a recipe names.
#pragma once

#include <string>

#include "settings.hpp"
#include "tern/checkpoint/model_text.hpp"
#include "tern/recipe/task_texts.hpp"

namespace bitdistill {

/// The texts that the stages of the recipe learn from and are measured on.
tern::task_texts load_texts(const tern::recipe& r);

/// Reads one part of the task: "train", "dev", "test", or "reported", which is test, or dev where
/// the task has no test part. The other parts are empty. Throws as read_task_part() does.
tern::task_texts load_part(const tern::data_source& d, const std::string& part);

/// Reads what belongs to a model besides its weights, and says each guess on the standard error.
/// `tokenizer` is another place of the tokenizer, or empty.
tern::model_text read_text_of(const std::string& model, const std::string& tokenizer);

/// The tokenizer of the model with all that belongs to it, the one that the data source names, or a
/// new one: that of the embedded language, or one that is trained on the corpus.
tern::model_text make_text(const settings& s, const tern::task_texts& texts);

/// Throws config_error where the tokens of the teacher have other ids than the student's.
void require_same_vocabulary(const std::string& teacher, const tern::bpe_tokenizer& student);

}  // namespace bitdistill
