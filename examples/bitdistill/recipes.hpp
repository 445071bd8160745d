// The recipes that the program ships. The files recipes/*.json are compiled in.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tern/recipe/recipe_file.hpp"

namespace bitdistill {

/// A shipped recipe.
struct shipped_recipe {
  std::string_view name;  ///< file name without ".json"
  std::string_view text;  ///< content of the file
};

/// All shipped recipes, sorted by name.
const std::vector<shipped_recipe>& shipped_recipes();

/// A shipped recipe by its name, or a file where the name ends in ".json" or has a '/'. Throws as
/// recipe_text() and read_json() do.
tern::recipe_file find_recipe(const std::string& name);

/// The text of a shipped recipe. Throws config_error, which lists all names, where there is none.
std::string_view recipe_text(const std::string& name);

/// The name of the shipped recipe with the default sizes and steps for a task.
std::string preset_of(const std::string& task);

}  // namespace bitdistill
