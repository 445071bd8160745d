// The settings of a command: the recipe that presets, files and options make together.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "options.hpp"
#include "tern/recipe/recipe.hpp"
#include "tern/recipe/recipe_file.hpp"

namespace bitdistill {

/// A command and its recipe.
struct settings {
  std::string command;  ///< subcommand
  std::string model;    ///< folder or file *.gguf of the model that stages start from; may be empty
  tern::recipe recipe;  ///< data and stages
};

/// The recipe file of a command with its stages filled in. Values come from the preset of the task,
/// the recipe, the options and --set; each of these wins over those before it. Where a grid is
/// continued, `o.model` becomes the model with which it began. Throws config_error, io_error or
/// format_error. Nothing is written.
tern::recipe_file make_recipe_file(options& o);

/// The settings of a command with such a file, which has no grid. Throws as make_recipe_file().
settings make_settings(const options& o, const tern::recipe_file& file);

/// Both in one. Throws config_error for a grid, too, which only the command run takes.
settings make_settings(options o);

/// The content of config.json in a run: the recipe with every field of every stage.
nlohmann::json to_json(const settings& s);

/// The content of config.json in the directory of a grid: the file, the command, and the model that
/// stages start from, where --model names one.
nlohmann::json to_json(const options& o, const tern::recipe_file& grid);

/// Throws config_error where settings contradict one another.
void require_consistent(const settings& s);

}  // namespace bitdistill
