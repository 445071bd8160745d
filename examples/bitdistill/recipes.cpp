#include "recipes.hpp"

#include <algorithm>

#include "tern/core/error.hpp"
#include "tern/data/named_task.hpp"
#include "tern/json/read_json.hpp"

namespace bitdistill {

std::string_view recipe_text(const std::string& name) {
  std::string names;
  for (const shipped_recipe& r : shipped_recipes()) {
    if (r.name == name) return r.text;
    names.append(names.empty() ? "" : ", ").append(r.name);
  }
  throw tern::config_error("there is no shipped recipe '" + name + "', expected one of " + names +
                           "; the name of a file ends in .json or has a '/'");
}

tern::recipe_file find_recipe(const std::string& name) {
  if (name.ends_with(".json") || name.find('/') != name.npos) return {tern::read_json(name), name};
  return {tern::parse_json(recipe_text(name), name), name};
}

std::string preset_of(const std::string& task) {
  if (task == "microworld") return "demo";
  if (task == "mnli" || task == "qnli") return "text-pairs";
  if (task.empty() || task == "own" || task == "tsv") return "text";
  return tern::named_task(task).classifies() ? "text" : "summaries";
}

}  // namespace bitdistill
