// Grids: many runs of one recipe. The directory of a grid holds its config.json, the tables
// table.txt and table.csv, and points/NAME, the directory of a run for each point.
#pragma once

#include <filesystem>

#include "options.hpp"
#include "tern/core/reducer.hpp"
#include "tern/recipe/recipe_file.hpp"

namespace bitdistill {

/// Whether the directory holds a grid.
bool is_grid(const std::filesystem::path& directory);

/// Runs all points of a grid, or those that are missing or changed. Stages that are equal in
/// several points are trained once. One rank trains several stages at a time, as the options say;
/// several ranks share the steps of one stage after another.
void run_grid(const options& o, const tern::recipe_file& grid, tern::reducer& ranks);

}  // namespace bitdistill
