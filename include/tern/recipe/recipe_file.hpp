// A recipe as a JSON file. Besides the fields of a recipe the file may have
//   "extends"    the name of a recipe that this one changes: its keys replace those of that one
//   "defaults"   fields of every stage
//   "templates"  named groups of fields; a stage with "like": NAME has them
// A stage's own fields win over its template's, and those over the defaults.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/json/json.hpp"
#include "tern/json/read_fields.hpp"
#include "tern/recipe/recipe.hpp"

namespace tern::inline TERN_ABI {

/// A recipe with the file that it is from, for messages.
struct recipe_file {
  nlohmann::json json = nlohmann::json::object();  ///< as read
  std::string name;  ///< path of the file, or name of a shipped recipe
};

/// Finds the recipe of a name that stands in "extends"; throws config_error where there is none.
using recipe_lookup = std::function<recipe_file(const std::string&)>;

namespace detail {

/// Reads fields into a stage that nobody keeps, so that what is wrong is named where it stands.
inline void check_stage_fields(nlohmann::json fields, const std::string& file,
                               const std::string& prefix) {
  if (fields.is_object()) fields.erase("like");
  stage unused;
  read_fields(unused, json_fields(fields, file, prefix));
}

inline const nlohmann::json& member(const nlohmann::json& object, const char* key) {
  static const nlohmann::json none = nlohmann::json::object();
  return object.contains(key) ? object.at(key) : none;
}

inline void require_object(const nlohmann::json& value, const std::string& file, const char* key) {
  if (!value.is_object())
    throw config_error(file + ": key '" + key + "': expected an object, got " + value.dump());
}

/// Checks every part of a file by itself.
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
  nlohmann::json rest = f.json;
  for (const char* key : {"extends", "defaults", "templates"}) rest.erase(key);
  if (rest.contains("stages") && rest["stages"].is_array())
    for (auto& s : rest["stages"])
      if (s.is_object()) s.erase("like");
  recipe unused;
  read_fields(unused, json_fields(rest, f.name));
}

}  // namespace detail

/// The file with what it extends, each part checked. Throws config_error naming file and key, also
/// where recipes extend each other in a circle.
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

/// Changes fields of the stage, the template, or the part of the recipe that the first word of the
/// setting names (see parse_setting). Throws config_error naming "--set" and the key.
inline void apply_setting(recipe_file& f, const nlohmann::json& setting) {
  const auto& [name, fields] = *setting.items().begin();
  if (f.json.contains("stages") && f.json["stages"].is_array())
    for (auto& s : f.json["stages"]) {
      if (!s.is_object() || s.value("name", std::string()) != name) continue;
      detail::check_stage_fields(fields, "--set", name + ".");
      s.merge_patch(fields);
      return;
    }
  if (name == "stages") throw config_error("--set: name a stage, as in bitdistill.steps=300");
  if (name == "defaults") {
    detail::check_stage_fields(fields, "--set", "defaults.");
  } else if (detail::member(f.json, "templates").contains(name)) {
    detail::check_stage_fields(fields, "--set", name + ".");
    f.json["templates"][name].merge_patch(fields);
    return;
  } else {
    recipe unused;
    read_fields(unused, json_fields(setting, "--set"));
  }
  f.json.merge_patch(setting);
}

/// The recipe, each stage filled in from its template and the defaults. Throws config_error naming
/// file and key.
inline recipe expand_recipe(const recipe_file& f) {
  nlohmann::json json = f.json;
  const nlohmann::json defaults = detail::member(json, "defaults"),
                       templates = detail::member(json, "templates");
  json.erase("defaults");
  json.erase("templates");
  if (json.contains("stages") && json["stages"].is_array())
    for (auto& s : json["stages"]) {
      nlohmann::json full = defaults;
      if (s.is_object() && s.contains("like")) {
        const auto like = s["like"].is_string() ? s["like"].get<std::string>() : s["like"].dump();
        if (!templates.contains(like))
          throw config_error(f.name + ": stage " + s.value("name", std::string()) +
                             ": there is no template '" + like + "'");
        full.merge_patch(templates.at(like));
        s.erase("like");
      }
      full.merge_patch(s);
      s = std::move(full);
    }
  recipe r;
  read_fields(r, json_fields(json, f.name));
  return r;
}

}  // namespace tern::inline TERN_ABI
