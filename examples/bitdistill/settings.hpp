// The settings of a command: the recipe that presets, files and options make together.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "options.hpp"
#include "tern/recipe/recipe.hpp"

namespace bitdistill {

/// A command and its recipe.
struct settings {
  std::string command;  ///< subcommand
  std::string model;    ///< folder or file *.gguf of the model that stages start from; may be empty
  tern::recipe recipe;  ///< data and stages
};

/// Reads the recipe of a command. Values come from the preset of the task, the recipe, the options
/// and --set; each of these wins over those before it. Throws config_error, io_error or
/// format_error. Nothing is written.
settings make_settings(const options& o);

/// The content of config.json in a run: the recipe with every field of every stage.
nlohmann::json to_json(const settings& s);

/// Throws config_error where settings contradict one another.
void require_consistent(const settings& s);

}  // namespace bitdistill
