// The key "grid" of a recipe file. It makes many runs of one recipe, its points: one for each seed
// and each combination of the variants of its axes.
//   "grid": {
//     "seeds": [1, 2, 3],
//     "axes": [
//       {"name": "tau", "key": "bitdistill.losses.logits.tau", "values": [1, 2, 5]},
//       {"name": "norms", "variants": [
//         {"name": "subln"},
//         {"name": "all", "set": ["continual.edits.sub_ln=all"]}]}]}
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/json/json_fields.hpp"
#include "tern/recipe/setting.hpp"

namespace tern::inline TERN_ABI {

/// One place on an axis.
struct grid_variant {
  std::string name;                   ///< unique on its axis
  std::vector<std::string> settings;  ///< changes of the recipe, such as "bitdistill.steps=500"
};

/// What one axis of a grid varies.
struct grid_axis {
  std::string name;                    ///< unique among the axes
  std::vector<grid_variant> variants;  ///< at least one; the others are compared with the first
};

/// The points of a grid: every seed with every combination of variants.
struct recipe_grid {
  std::vector<std::uint64_t> seeds;  ///< empty: the recipe keeps its seeds
  std::vector<grid_axis> axes;       ///< variants of the last axis vary fastest
};

namespace detail {

constexpr std::size_t most_grid_points = 10000;

/// Throws unless the text at `key` can be a part of the name of a directory.
inline void require_grid_name(const std::string& name, const json_fields& at,
                              const std::string& key) {
  if (name.empty() ||
      name.find_first_not_of(
          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+") != name.npos)
    at.fail(key, "a name of letters, digits, '-', '_', '.' and '+'", '"' + name + '"');
}

/// Throws where the list at `key` is empty or has an element twice.
inline void require_different(std::vector<std::string> texts, const json_fields& at,
                              const std::string& key) {
  if (texts.empty()) at.fail(key, "at least one element", "[]");
  std::ranges::sort(texts);
  if (const auto twice = std::ranges::adjacent_find(texts); twice != texts.end())
    at.fail(key, "different elements", '"' + *twice + "\" twice");
}

/// Throws unless the text at `key` is a setting of something else than the grid.
inline void require_grid_setting(const std::string& text, const json_fields& at,
                                 const std::string& key) {
  if (parse_setting(text, at.place(key)).contains("grid"))
    at.fail(key, "a setting of the recipe", '"' + text + '"');
}

/// Variants that set one key to each of a list of values, which are their names.
inline std::vector<grid_variant> read_values(const json_fields& axis) {
  const auto key = axis.get<std::string>("key");
  std::vector<grid_variant> variants;
  for (const auto& value : axis.any_list("values")) {
    const std::string at = "values[" + std::to_string(variants.size()) + "]";
    if (value.is_null() || value.is_structured())
      axis.fail(at, "a number, a string, true or false (other values need 'variants')",
                value.dump());
    grid_variant v{value.is_string() ? value.get<std::string>() : value.dump(),
                   {key + "=" + value.dump()}};
    require_grid_setting(v.settings[0], axis, "key");
    require_grid_name(v.name, axis, at);
    variants.push_back(std::move(v));
  }
  return variants;
}

inline std::vector<grid_variant> read_variants(const json_fields& axis) {
  std::vector<grid_variant> variants;
  for (const json_fields& item : axis.objects("variants")) {
    item.require_known({"name", "set"});
    grid_variant v{item.get<std::string>("name"), {}};
    require_grid_name(v.name, item, "name");
    if (item.has("set")) v.settings = item.list<std::string>("set");
    for (std::size_t i = 0; i < v.settings.size(); ++i)
      require_grid_setting(v.settings[i], item, "set[" + std::to_string(i) + "]");
    variants.push_back(std::move(v));
  }
  return variants;
}

template <class List>
std::vector<std::string> names_of(const List& list) {
  std::vector<std::string> names;
  names.reserve(list.size());
  for (const auto& item : list) names.push_back(item.name);
  return names;
}

inline grid_axis read_axis(const json_fields& fields) {
  fields.require_known({"name", "key", "values", "variants"});
  grid_axis axis{fields.get<std::string>("name"), {}};
  require_grid_name(axis.name, fields, "name");
  if (axis.name == "seed")
    fields.fail("name", "another name, since seeds stand in 'grid.seeds'", "\"seed\"");
  const bool values = fields.has("key") || fields.has("values");
  if (values == fields.has("variants"))
    fields.fail("variants", "either these or 'key' and 'values'", values ? "both" : "neither");
  axis.variants = values ? read_values(fields) : read_variants(fields);
  require_different(names_of(axis.variants), fields, values ? "values" : "variants");
  return axis;
}

}  // namespace detail

/// Reads the value of the key "grid". Throws config_error naming file and key where a key is not
/// known, a list is empty, a name is missing, bad or used twice, or a setting is not key=value.
inline recipe_grid read_grid(const nlohmann::json& json, const std::string& file) {
  const nlohmann::json whole = {{"grid", json}};
  const json_fields fields = json_fields(whole, file).object("grid");
  fields.require_known({"seeds", "axes"});
  recipe_grid grid;
  if (fields.has("axes")) {
    for (const json_fields& axis : fields.objects("axes"))
      grid.axes.push_back(detail::read_axis(axis));
    detail::require_different(detail::names_of(grid.axes), fields, "axes");
  }
  if (fields.has("seeds")) {
    grid.seeds = fields.list<std::uint64_t>("seeds");
    std::vector<std::string> texts;
    texts.reserve(grid.seeds.size());
    for (const std::uint64_t seed : grid.seeds) texts.push_back(std::to_string(seed));
    detail::require_different(std::move(texts), fields, "seeds");
  }
  if (grid.axes.empty() && grid.seeds.empty()) fields.fail("axes", "axes, seeds or both", "none");
  std::size_t points = std::max<std::size_t>(1, grid.seeds.size());
  for (const grid_axis& axis : grid.axes)
    if ((points *= axis.variants.size()) > detail::most_grid_points)
      fields.fail("axes", "at most " + std::to_string(detail::most_grid_points) + " points",
                  "more");
  return grid;
}

}  // namespace tern::inline TERN_ABI
