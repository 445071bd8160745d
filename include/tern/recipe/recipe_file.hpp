// A recipe as a JSON file. Besides the fields of a recipe the file may have four keys:
//   "extends"    name of a recipe that this one changes: keys of this file replace keys of that one
//   "defaults"   fields of every stage
//   "templates"  named groups of fields; a stage with "like": NAME has the fields of that group
//   "grid"       many runs of the recipe, see grid.hpp
// A stage's own fields win over those of its template, which win over the defaults.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/json/json_fields.hpp"
#include "tern/json/read_fields.hpp"
#include "tern/recipe/grid.hpp"
#include "tern/recipe/recipe.hpp"

namespace tern::inline TERN_ABI {

/// A recipe as JSON, and the name that messages about it begin with.
struct recipe_file {
  nlohmann::json json = nlohmann::json::object();  ///< content of the file
  std::string name;  ///< path of the file, or name of a shipped recipe
};

/// Finds the recipe whose name stands in "extends"; throws config_error where there is none.
using recipe_lookup = std::function<recipe_file(const std::string&)>;

/// Whether the file describes a grid rather than one run.
inline bool has_grid(const recipe_file& f) {
  return f.json.is_object() && f.json.contains("grid") && !f.json.at("grid").is_null();
}

namespace detail {

/// Reads fields of a stage and throws the result away. Errors name the key in the file, which they
/// could not do once defaults, templates and stages are merged.
inline void check_stage_fields(const nlohmann::json& fields, const std::string& file,
                               const std::string& prefix) {
  stage unused;
  read_fields(unused, json_fields(fields, file, prefix));
}

/// A member of an object; an empty object where it is missing.
inline const nlohmann::json& member(const nlohmann::json& object, const char* key) {
  static const nlohmann::json none = nlohmann::json::object();
  return object.contains(key) ? object.at(key) : none;
}

/// A string member of an object; empty where the object has none.
inline std::string string_member(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

inline void require_object(const nlohmann::json& value, const std::string& file, const char* key) {
  if (!value.is_object())
    throw config_error(file + ": key '" + key + "': expected an object, got " + value.dump());
}

/// Checks the defaults, each template, the grid, and the recipe of a file separately.
inline void check_recipe_file(const recipe_file& f) {
  if (!f.json.is_object())
    throw config_error(f.name + ": expected an object, got " + f.json.dump());
  const auto& defaults = member(f.json, "defaults");
  const auto& templates = member(f.json, "templates");
  require_object(defaults, f.name, "defaults");
  require_object(templates, f.name, "templates");
  check_stage_fields(defaults, f.name, "defaults.");
  for (const auto& [name, fields] : templates.items())
    check_stage_fields(fields, f.name, "templates." + name + ".");
  if (has_grid(f)) static_cast<void>(read_grid(f.json.at("grid"), f.name));
  nlohmann::json rest = f.json;
  for (const char* key : {"extends", "defaults", "templates", "grid"}) rest.erase(key);
  recipe unused;
  read_fields(unused, json_fields(rest, f.name));
}

}  // namespace detail

/// Merges a file into the recipe that it extends. Every file is checked. Throws config_error naming
/// file and key, also where recipes extend each other in a circle.
inline recipe_file resolve_extends(recipe_file f, const recipe_lookup& find, int depth = 0) {
  detail::check_recipe_file(f);
  if (!f.json.contains("extends")) return f;
  if (depth > 16) throw config_error(f.name + ": 'extends' goes in a circle");
  if (!f.json["extends"].is_string())
    throw config_error(f.name + ": key 'extends': expected the name of a recipe");
  recipe_file base = resolve_extends(find(f.json["extends"].get<std::string>()), find, depth + 1);
  f.json.erase("extends");
  base.json.merge_patch(f.json);
  base.name = std::move(f.name);
  return base;
}

/// Gives every stage all fields of its template and of the defaults, and removes these two from the
/// file. Throws config_error naming file and stage where there is no such template.
inline recipe_file fill_stages(recipe_file f) {
  const nlohmann::json defaults = detail::member(f.json, "defaults"),
                       templates = detail::member(f.json, "templates");
  f.json.erase("defaults");
  f.json.erase("templates");
  if (!f.json.contains("stages")) return f;
  for (auto& s : f.json["stages"]) {
    nlohmann::json full = defaults;
    if (const auto like = detail::string_member(s, "like"); !like.empty()) {
      if (!templates.contains(like))
        throw config_error(f.name + ": stage " + detail::string_member(s, "name") +
                           ": there is no template '" + like + "'");
      full.merge_patch(templates.at(like));
    }
    full.merge_patch(s);
    s = std::move(full);
  }
  return f;
}

/// Changes a file whose stages are filled in. The first word of the setting (see parse_setting) is
/// "stages" for all stages, the name of a stage or of a template, a field of the recipe, or "grid".
/// A name changes every stage that is called so or was made from a template that is called so.
/// Throws config_error naming `origin` and the key.
inline void apply_setting(recipe_file& f, const nlohmann::json& setting,
                          const std::string& origin = "--set") {
  const auto first = setting.begin();
  const std::string& name = first.key();
  const nlohmann::json& fields = first.value();
  std::string names = "title, model, data, grid, stages";
  bool found = false;
  if (f.json.contains("stages"))
    for (auto& s : f.json["stages"]) {
      names += ", " + detail::string_member(s, "name");
      if (name != "stages" && detail::string_member(s, "name") != name &&
          detail::string_member(s, "like") != name)
        continue;
      if (!fields.is_object())
        throw config_error(origin + ": key '" + name + "': expected an object, got " +
                           fields.dump());
      detail::check_stage_fields(fields, origin, name + ".");
      s.merge_patch(fields);
      found = true;
    }
  if (found) return;
  if (name == "grid") {
    f.json.merge_patch(setting);
    static_cast<void>(read_grid(f.json.at(name), origin));
    return;
  }
  if (name != "title" && name != "model" && name != "data")
    throw config_error(origin + ": unknown key '" + name + "', expected one of " + names);
  recipe unused;
  read_fields(unused, json_fields(setting, origin));
  f.json.merge_patch(setting);
}

/// Gives the data and all stages of a file the same seed.
inline void set_seed(recipe_file& f, std::uint64_t seed) {
  f.json["data"]["seed"] = seed;
  for (auto& s : f.json["stages"]) s["seed"] = seed;
}

/// The recipe of a file whose stages are filled in. Throws config_error naming file and key.
inline recipe read_recipe(const recipe_file& f) {
  recipe r;
  read_fields(r, json_fields(f.json, f.name));
  return r;
}

}  // namespace tern::inline TERN_ABI
