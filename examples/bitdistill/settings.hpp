// What a command does, as data: the recipe that options, presets and files make together.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "options.hpp"
#include "tern/recipe/recipe.hpp"

namespace bitdistill {

struct settings {
  std::string command;  ///< subcommand
  std::string model;    ///< of --model: folder or file *.gguf; empty: none
  tern::recipe recipe;  ///< data and stages
};

/// The later wins: preset of the task, recipe, options, --set. Throws config_error, io_error or
/// format_error; nothing is written.
settings make_settings(const options& o);

/// What config.json of a run holds: the recipe with every field of every stage.
nlohmann::json to_json(const settings& s);

/// Throws config_error where settings contradict one another.
void require_consistent(const settings& s);

}  // namespace bitdistill
