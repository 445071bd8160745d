#include "settings.hpp"

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "recipes.hpp"
#include "tern/checkpoint/load_config.hpp"
#include "tern/json/write_fields.hpp"
#include "tern/recipe/recipe_file.hpp"
#include "tern/recipe/setting.hpp"

namespace bitdistill {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

/// The path of a model, changed so that is_model_path() recognises it.
std::string as_path(const std::string& model) {
  return model.empty() || tern::is_model_path(model) ? model : "./" + model;
}

/// The edits of stage 1 that the model does not have yet.
json first_stage(const std::string& model) {
  const auto config = tern::load_config(model);
  json edits = json::object();
  if (config.ternary) return edits;
  edits["make_ternary"] = true;
  if (config.sub_ln == tern::norm_placement::none) edits["sub_ln"] = "subln";
  return edits;
}

void need(bool good, const std::string& what) {
  if (!good) throw tern::config_error(what);
}

/// The stage of the command quantize. It calibrates on what is given: text, examples or both.
json quantize_stage(const options& o, const std::string& model) {
  json edits = {{"calibrate", {{"tokens", o.calibration_tokens}}},
                {"sub_ln", o.sub_ln == "matched" ? "subln" : o.sub_ln}};
  // bitnet.cpp runs such models, with one eps for all norms.
  if (o.sub_ln == "all") edits["sub_ln_eps"] = tern::load_config(model).rms_norm_eps;
  const bool groups = o.scale.starts_with("group:");
  edits["learned_scales"] = groups ? "group" : o.scale;
  if (groups) edits["scale_group"] = std::stoul(o.scale.substr(6));
  if (o.task.empty() && o.prompt.empty()) edits["calibrate"]["task_share"] = 0;
  return {{"name", "quantize"}, {"from", model}, {"edits", edits}};
}

/// The stage of a command that has one stage.
json only_stage(const options& o) {
  const std::string model = as_path(o.model);
  if (o.command == "pretrain") {
    need(!o.ternary || !model.empty(),
         "pretrain --ternary needs --model: the base to continue from");
    if (o.ternary)
      return {{"name", "continual"},
              {"like", "continual"},
              {"from", model},
              {"edits", first_stage(model)}};
    return {{"name", "base"}, {"like", "pretraining"}, {"from", model.empty() ? "new" : model}};
  }
  need(!model.empty(), o.command + " needs --model");
  if (o.command == "quantize") return quantize_stage(o, model);
  if (o.command == "finetune") {
    const bool already = tern::load_config(model).ternary, ternary = o.ternary || already;
    return {{"name", "finetune"},
            {"like", ternary ? "bitnet_sft" : "finetuning"},
            {"from", model},
            {"edits", {{"make_ternary", ternary && !already}}},
            {"row", ternary ? "BitNet-SFT" : "FP-SFT"}};
  }
  need(!o.teacher.empty(), "distill needs --teacher");
  return {{"name", "distill"},
          {"like", "distillation"},
          {"from", model},
          {"teacher", as_path(o.teacher)},
          {"edits", first_stage(model)},
          {"row", "BitDistill"}};
}

bool has_one_stage(const options& o) {
  return o.command == "pretrain" || o.command == "finetune" || o.command == "distill" ||
         o.command == "quantize";
}

/// The path of the recipe of the run that --resume continues; empty where there is none.
std::string saved_recipe(const options& o) {
  const auto own = fs::path(o.out) / "config.json";
  return o.resume && fs::exists(own) ? own.string() : "";
}

/// The recipe that --recipe or --resume names, or else the one of the command and the task.
tern::recipe_file named_recipe(const options& o) {
  const std::string name = o.recipe.empty() ? saved_recipe(o) : o.recipe;
  if (!name.empty()) return find_recipe(name);
  if (o.command == "demo") return find_recipe(o.quick ? "demo-quick" : "demo");
  if (has_one_stage(o)) return {{{"stages", {only_stage(o)}}}, o.command};
  need(!o.task.empty() || (!o.prompt.empty() && !o.answer.empty()) || o.command == "eval",
       o.command + " needs --task");
  return find_recipe(preset_of(o.task));
}

/// Whether a stage is like a template, and the file has none.
bool uses_unknown_templates(const tern::recipe_file& f) {
  const json& j = f.json;
  return !j.contains("templates") && j.contains("stages") && j["stages"].is_array() &&
         std::ranges::any_of(j["stages"],
                             [](const json& s) { return s.is_object() && s.contains("like"); });
}

std::string task_of(const options& o, const tern::recipe_file& f) {
  if (!o.task.empty()) return o.task;
  if (!o.prompt.empty() && !o.answer.empty()) return "own";
  const json data = f.json.is_object() ? f.json.value("data", json()) : json();
  const json task = data.is_object() ? data.value("task", json()) : json();
  return task.is_string() ? task.get<std::string>() : "";
}

/// Changes the file as the options say that were given.
void apply_options(const options& o, tern::recipe_file& f) {
  json& data = f.json["data"];
  const auto set = [&](const char* key, const auto& given) {
    if (!given.empty()) data[key] = given;
  };
  set("task", task_of(o, f));
  set("directory", o.data);
  set("prompt", o.prompt);
  set("answer", o.answer);
  set("labels", o.labels);
  set("label_words", o.label_words);
  set("corpus", o.corpus);
  set("unlabelled", o.unlabelled);
  set("tokenizer", o.tokenizer);
  set("separator", o.separator);
  set("end_tokens", o.end_tokens);
  if (!o.config.empty()) {
    tern::recipe r;
    r.model = tern::read_model_config(o.config);
    f.json["model"] = tern::write_fields(r).at("model");
  }
  if (o.seed) tern::set_seed(f, *o.seed);
}

/// The model that stages start from: the first path that one of them names.
std::string model_of(const tern::recipe& r) {
  for (const tern::stage& s : r.stages)
    if (tern::is_model_path(s.from)) return s.from;
  return "";
}

bool makes_base(const tern::stage& s) { return s.from == "new"; }

/// Makes the stages start from `model`. Stages that make a new base are left out. The model takes
/// the place of these bases and of the model that stages started from before, also as a teacher.
void use_model(tern::recipe& r, const std::string& model) {
  r.model = tern::load_config(model);
  std::vector<std::string> replaced{model_of(r)};
  std::erase_if(r.stages, [&](const tern::stage& s) {
    if (makes_base(s)) replaced.push_back(s.name);
    return makes_base(s);
  });
  need(!r.stages.empty(), "--model: every stage of the recipe makes a new base");
  for (tern::stage& s : r.stages)
    for (std::string* origin : {&s.from, &s.teacher})
      if (!origin->empty() && std::ranges::count(replaced, *origin) != 0) *origin = as_path(model);
}

/// Takes a key that only the config.json of a run has out of the file. Null where it is missing.
json take(tern::recipe_file& f, const char* key) {
  if (!f.json.is_object()) return {};
  json value = f.json.value(key, json());
  f.json.erase(key);
  return value;
}

/// Merges the file into what it extends and fills in all stages. The config.json of a run is
/// complete. Another file that uses templates and has none, also not from what it extends, takes
/// those of the preset of its task.
tern::recipe_file filled(tern::recipe_file file, options& o) {
  const json command = take(file, "command"), start = take(file, "start");
  if (o.model.empty() && start.is_string()) o.model = start.get<std::string>();
  if (o.recipe.empty() && !saved_recipe(o).empty())
    need(command == o.command,
         "'" + o.out + "' holds a run of the command " + command.dump() + ", not of " + o.command);
  file = resolve_extends(std::move(file), find_recipe);
  if (!command.is_null()) return file;
  if (uses_unknown_templates(file)) {
    file.json["extends"] = preset_of(task_of(o, file));
    file = resolve_extends(std::move(file), find_recipe);
  }
  return fill_stages(std::move(file));
}

}  // namespace

tern::recipe_file make_recipe_file(options& o) {
  tern::recipe_file file = filled(named_recipe(o), o);
  apply_options(o, file);
  for (const auto& text : o.set) tern::apply_setting(file, tern::parse_setting(text));
  return file;
}

settings make_settings(options o) {
  const tern::recipe_file file = make_recipe_file(o);
  need(!has_grid(file), file.name + ": this is a grid, which only the command run takes");
  return make_settings(o, file);
}

settings make_settings(const options& o, const tern::recipe_file& file) {
  settings s{o.command, o.model, tern::read_recipe(file)};
  if (s.model.empty()) {
    s.model = model_of(s.recipe);
    need(s.model.empty() || std::ranges::none_of(s.recipe.stages, makes_base),
         file.name + ": stages start from 'new' and from '" + s.model +
             "', expected one of the two, since all stages share a tokenizer");
  }
  if (s.model.empty()) return s;
  need(o.config.empty(),
       "--config: the stages start from '" + s.model + "', which has an architecture of its own");
  for (const auto& text : o.set)
    need(!tern::parse_setting(text).contains("model"),
         "--set " + text + ": the stages start from '" + s.model +
             "', which has an architecture of its own");
  use_model(s.recipe, s.model);
  return s;
}

json to_json(const settings& s) {
  json j = tern::write_fields(s.recipe);
  j["command"] = s.command;
  return j;
}

json to_json(const options& o, const tern::recipe_file& grid) {
  json j = grid.json;
  j["command"] = o.command;
  if (!o.model.empty()) j["start"] = o.model;
  return j;
}

}  // namespace bitdistill
