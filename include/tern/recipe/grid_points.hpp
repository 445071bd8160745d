// The points of a grid as recipes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/recipe/grid.hpp"
#include "tern/recipe/recipe_file.hpp"
#include "tern/recipe/setting.hpp"

namespace tern::inline TERN_ABI {

/// One run of a grid.
struct grid_point {
  std::vector<std::string> variants;  ///< name of the variant on each axis
  std::optional<std::uint64_t> seed;  ///< nothing where the grid has no seeds
  recipe_file file;                   ///< the recipe without "grid"
};

/// The variants of a point behind the names of their axes, such as "tau=1,norms=all".
inline std::string variants_text(const recipe_grid& grid,
                                 const std::vector<std::string>& variants) {
  std::string text;
  for (std::size_t i = 0; i < variants.size(); ++i)
    text += (i > 0 ? "," : "") + grid.axes[i].name + "=" + variants[i];
  return text;
}

/// The name of a point: its variants and its seed, such as "tau=1,norms=all,seed=2".
inline std::string point_name(const recipe_grid& grid, const grid_point& p) {
  std::string text = variants_text(grid, p.variants);
  if (p.seed) text += (text.empty() ? "seed=" : ",seed=") + std::to_string(*p.seed);
  return text;
}

namespace detail {

/// Adds the points with all variants of the axes behind those of `point`.
inline void add_points(std::vector<grid_point>& all, const recipe_grid& grid,
                       const grid_point& point) {
  if (point.variants.size() == grid.axes.size()) {
    all.push_back(point);
    return;
  }
  const grid_axis& axis = grid.axes[point.variants.size()];
  for (const grid_variant& v : axis.variants) {
    const std::string origin =
        point.file.name + ": axis '" + axis.name + "', variant '" + v.name + "'";
    grid_point next = point;
    next.variants.push_back(v.name);
    for (const std::string& text : v.settings)
      apply_setting(next.file, parse_setting(text, origin), origin);
    add_points(all, grid, next);
  }
}

}  // namespace detail

/// The points of a file with "grid" whose stages are filled in, all points of the first seed first.
/// The seed becomes that of the data and of all stages; then the settings of the variants are
/// applied, axis by axis. Throws config_error naming file, axis and variant where a setting does
/// not fit.
inline std::vector<grid_point> grid_points(const recipe_file& f) {
  const recipe_grid grid = read_grid(f.json.at("grid"), f.name);
  grid_point start{{}, {}, f};
  start.file.json.erase("grid");
  std::vector<grid_point> all;
  for (std::size_t i = 0; i < std::max<std::size_t>(1, grid.seeds.size()); ++i) {
    if (!grid.seeds.empty()) set_seed(start.file, (start.seed = grid.seeds[i]).value());
    detail::add_points(all, grid, start);
  }
  return all;
}

/// Removes the stages that no row of the table needs. A recipe without rows keeps all of them.
inline void keep_stages_of_rows(recipe& r) {
  if (!has_rows(r)) return;
  std::vector<std::string> needed;
  for (auto s = r.stages.rbegin(); s != r.stages.rend(); ++s)
    if (!s->row.empty() || std::ranges::count(needed, s->name) != 0)
      needed.insert(needed.end(), {s->name, s->from, s->teacher});
  std::erase_if(r.stages, [&](const stage& s) { return std::ranges::count(needed, s.name) == 0; });
}

}  // namespace tern::inline TERN_ABI
