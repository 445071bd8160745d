// The texts and examples of a run, read and checked.
#pragma once

#include <filesystem>

#include "settings.hpp"
#include "tern/checkpoint/save_model_text.hpp"
#include "tern/core/executor.hpp"
#include "tern/recipe/task_data.hpp"

namespace bitdistill {

/// What the stages of a run read.
struct run_input {
  tern::model_text text;
  tern::task_data data;
};

/// Reads and tokenizes all data, and checks that they fit to the recipe, whose vocabulary becomes
/// that of the tokenizer. Nothing is written. Throws config_error, io_error or format_error.
run_input read_input(settings& s, tern::executor_ref ex);

/// Refuses, before the first stage begins, what a later stage would refuse only when its turn
/// comes. read_input() does this, too.
void require_usable(const settings& s, const run_input& input);

/// Completes a folder of a model with the tokenizer and all that belongs to it. One that is
/// complete stays as it is, since other runs may start from it and know it by its checksum.
void add_text(const tern::model_text& text, const std::filesystem::path& folder);

}  // namespace bitdistill
