#include "settings.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <sstream>

#include "presets.hpp"
#include "tern/checkpoint/load_config.hpp"
#include "tern/recipe/run_config_json.hpp"

namespace bitdistill {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

/// Calls f(key, field) for every field of the source.
template <class Source, class F>
void for_each_field(Source& d, F&& f) {
  f("directory", d.directory);
  f("model", d.model);
  f("teacher", d.teacher);
  f("tokenizer", d.tokenizer);
  f("text_column", d.text_column);
  f("pair_column", d.pair_column);
  f("label_column", d.label_column);
  f("prompt", d.prompt);
  f("corpus", d.corpus);
  f("label_words", d.label_words);
  f("ternary", d.ternary);
  f("prompt_tokens", d.prompt_tokens);
  f("documents", d.documents);
  f("dev_examples", d.dev_examples);
  f("test_examples", d.test_examples);
}

template <class T>
void read(const tern::json_fields& fields, const char* key, T& value) {
  value = fields.get<T>(key);
}
void read(const tern::json_fields& fields, const char* key, std::vector<std::string>& value) {
  value = fields.list<std::string>(key);
}

void update(data_source& d, const json& object, const std::string& file) {
  const tern::json_fields fields(object, file, "data.");
  std::vector<std::string> known;
  for_each_field(d, [&](const char* key, auto& field) {
    known.emplace_back(key);
    if (fields.has(key)) read(fields, key, field);
  });
  fields.require_known(known);
}

/// Changes what the object of a config.json has; "command" is the business of --resume.
void update(settings& s, json object, const std::string& file) {
  if (object.is_object()) {
    if (object.contains("data")) update(s.data, object["data"], file);
    object.erase("data");
    object.erase("command");
  }
  tern::update_from_json(s.run, object, file);
}

/// "a.b=1" as {"a": {"b": 1}}; a value that is no JSON is a string.
json parse_set(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    throw tern::config_error("--set: expected key=value, got '" + text + "'");
  json value = json::parse(text.substr(equals + 1), nullptr, false);
  if (value.is_discarded()) value = text.substr(equals + 1);
  if (value.is_null()) throw tern::config_error("--set: expected a value, got '" + text + "'");
  json object = json::object();
  json* at = &object;
  std::istringstream keys(text.substr(0, equals));
  for (std::string key; std::getline(keys, key, '.');) at = &(*at)[key];
  *at = std::move(value);
  return object;
}

json parse_sets(const std::vector<std::string>& sets) {
  json all = json::object();
  for (const auto& text : sets) all.merge_patch(parse_set(text));
  return all;
}

/// The file of settings, if any: --run-config, or of the run that --resume continues.
std::string settings_file(const options& o) {
  const auto own = fs::path(o.out) / "config.json";
  return o.run_config.empty() && o.resume && fs::exists(own) ? own.string() : o.run_config;
}

std::string task_of(const options& o, const json& file) {
  if (!o.task.empty()) return o.task;
  if (file.is_object() && file.contains("task") && file["task"].is_string()) return file["task"];
  if (o.command == "pretrain") return "";
  throw tern::config_error(o.command + ": --task is needed");
}

settings preset(const options& o, const json& file) {
  if (o.command == "demo") return demo_settings(o.quick);
  const std::string task = task_of(o, file);
  return task == "microworld" ? demo_settings(false) : text_settings(task);
}

/// Options that were given win over what stands in files.
void apply(const options& o, settings& s) {
  const auto set = [](auto& field, const auto& given) {
    if (!given.empty()) field = given;
  };
  set(s.run.task, o.task);
  set(s.data.directory, o.data);
  set(s.data.model, o.model);
  set(s.data.teacher, o.teacher);
  set(s.data.tokenizer, o.tokenizer);
  set(s.data.text_column, o.text_column);
  set(s.data.pair_column, o.pair_column);
  set(s.data.label_column, o.label_column);
  set(s.data.prompt, o.prompt);
  set(s.data.corpus, o.corpus);
  set(s.data.label_words, o.label_words);
  if (o.seed) s.run.seed = *o.seed;
  s.run.ablations |= o.ablations;
  s.data.ternary |= o.ternary;
}

void use_model(settings& s, const tern::model_config& config) {
  s.run.model = config;
  s.run.vocab_size = s.run.model.vocab_size;
}

/// What is left to do of stage 1.
tern::surgery stage1(const tern::model_config& model) {
  if (model.ternary) return tern::surgery::none;
  return model.sub_ln == tern::norm_placement::none ? tern::surgery::sub_ln_ternary
                                                    : tern::surgery::ternary;
}

}  // namespace

settings make_settings(const options& o) {
  const std::string name = settings_file(o);
  const json file = name.empty() ? json::object() : tern::read_json(name);
  const json sets = parse_sets(o.set);
  settings s = preset(o, file);
  s.command = o.command;
  if (!o.config.empty()) use_model(s, tern::read_model_config(o.config));
  update(s, file, name);
  apply(o, s);
  update(s, sets, "--set");
  if (!s.data.model.empty()) {
    use_model(s, tern::load_config(s.data.model));
    s.run.base.steps = o.command == "run" ? 0 : s.run.base.steps;
  }
  s.run.model.vocab_size = s.run.vocab_size;
  if (!file.contains("distil_layer") && !sets.contains("distil_layer"))
    s.run.distil_layer = std::max<std::size_t>(s.run.model.num_hidden_layers, 2) - 2;
  return s;
}

json to_json(const settings& s) {
  json j = tern::to_json(s.run);
  json data = json::object();
  for_each_field(s.data, [&](const char* key, const auto& field) { data[key] = field; });
  j["data"] = std::move(data);
  j["command"] = s.command;
  return j;
}

std::vector<tern::stage> stages_of(const settings& s) {
  using tern::stage_loss;
  using tern::surgery;
  const auto folder = [](const std::string& path) {
    return path.empty() ? path : fs::absolute(path).string();
  };
  const bool already = s.run.model.ternary;
  const std::string from = folder(s.data.model);
  if (s.command == "pretrain") {
    if (s.data.ternary)
      return {{"continual", from, stage1(s.run.model), stage_loss::language_model, "", "",
               s.run.continual}};
    return {{"base", from, surgery::none, stage_loss::language_model, "", "", s.run.base}};
  }
  if (s.command == "finetune") {
    if (s.data.ternary || already)
      return {{"finetune", from, already ? surgery::none : surgery::ternary, stage_loss::task, "",
               "BitNet-SFT", s.run.naive}};
    return {{"finetune", from, surgery::none, stage_loss::task, "", "FP-SFT", s.run.teacher}};
  }
  if (s.command == "distill")
    return {{"distill", from, stage1(s.run.model), stage_loss::distil, folder(s.data.teacher),
             "BitDistill", s.run.student}};
  return tern::bitdistill_stages(s.run);
}

}  // namespace bitdistill
