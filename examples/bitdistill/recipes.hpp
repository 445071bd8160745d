// The recipes that the program ships: recipes/*.json, compiled in.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tern/recipe/recipe_file.hpp"

namespace bitdistill {

/// A shipped recipe.
struct shipped_recipe {
  std::string_view name;  ///< file name without ".json"
  std::string_view text;  ///< the file
};

/// All of them, sorted by name.
const std::vector<shipped_recipe>& shipped_recipes();

/// A shipped recipe by its name, or a file where the name ends in ".json" or has a '/'. Throws
/// config_error with the names that there are, and as read_json().
tern::recipe_file find_recipe(const std::string& name);

/// The text of a shipped recipe; throws config_error with the names that there are.
std::string_view recipe_text(const std::string& name);

/// The preset that recipes for a task extend where they do not say otherwise.
std::string preset_of(const std::string& task);

}  // namespace bitdistill
