// Everything a run depends on: the library's run_config and where the data come from. Made from
// presets, files and options, in this order; written to the run's config.json.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "options.hpp"
#include "tern/json/json_fields.hpp"
#include "tern/json/read_json.hpp"
#include "tern/recipe/stage.hpp"

namespace bitdistill {

/// Empty: not used, or the task's own.
struct data_source {
  std::string directory, model, teacher, tokenizer;
  std::string text_column, pair_column, label_column, prompt;
  std::vector<std::string> corpus, label_words;
  bool ternary = false;             ///< pretrain and finetune: surgery first
  std::size_t prompt_tokens = 128;  ///< longer prompts lose their front
  std::size_t documents = 0, dev_examples = 0, test_examples = 0;  ///< of the embedded language
};

struct settings {
  std::string command;
  tern::run_config run;
  data_source data;
};

/// Throws config_error, io_error or format_error; nothing is written.
settings make_settings(const options& o);

/// What config.json holds.
nlohmann::json to_json(const settings& s);

/// The stages of the command.
std::vector<tern::stage> stages_of(const settings& s);

/// Throws config_error where settings contradict one another.
void require_consistent(const settings& s);

}  // namespace bitdistill
