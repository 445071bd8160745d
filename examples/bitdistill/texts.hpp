// Reads the data that a recipe names.
#pragma once

#include <filesystem>
#include <string>

#include "settings.hpp"
#include "tern/recipe/task_texts.hpp"
#include "tern/text/bpe_tokenizer.hpp"

namespace bitdistill {

/// What the stages of the recipe learn from and are measured on.
tern::task_texts load_texts(const tern::recipe& r);

/// One part of the task alone: train, dev, test, or "reported": test where there is one, else dev.
/// The other parts are empty. Throws config_error where there is none.
tern::task_texts load_part(const tern::data_source& d, const std::string& part);

/// That of the model, the given one, the one `saved` in the run before, or a new one.
tern::bpe_tokenizer make_tokenizer(const settings& s, const tern::task_texts& texts,
                                   const std::filesystem::path& saved);

}  // namespace bitdistill
