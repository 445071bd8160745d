// Recipes as files: what they extend, templates, defaults, settings, and what is refused.
#include "tern/recipe/recipe_file.hpp"

#include <map>
#include <string>

#include "tern/json/write_fields.hpp"
#include "tern/recipe/setting.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

recipe_file file(const char* text) { return {nlohmann::json::parse(text), "own.json"}; }

recipe_file find(const std::string& name) {
  if (name == "base")
    return {nlohmann::json::parse(R"({
      "title": "base",
      "data": {"task": "sst2", "prompt_tokens": 40},
      "defaults": {"losses": {"cross_entropy": {}}, "optimizer": {"adamw": {}}, "sequences": 8},
      "templates": {
        "long": {"steps": 100, "sequences": 4},
        "distillation": {"steps": 9, "losses": {"logits": {"tau": 2}, "relations": {}}}
      },
      "stages": [{"name": "a", "like": "long", "data": "corpus"}]})"),
            name};
  if (name == "circle") return {nlohmann::json::parse(R"({"extends": "circle"})"), name};
  throw config_error("no recipe '" + name + "'");
}

recipe_file filled(const recipe_file& f) { return fill_stages(resolve_extends(f, find)); }

recipe expanded(const recipe_file& f) { return read_recipe(filled(f)); }

}  // namespace

TEST_CASE("a stage's fields win over its template's, and those over the defaults") {
  const auto r = expanded(find("base"));
  REQUIRE(r.stages.size() == 1);
  CHECK(r.stages[0].steps == 100);
  CHECK(r.stages[0].sequences == 4);
  const auto own = expanded(
      file(R"({"extends": "base", "stages": [{"name": "a", "like": "long", "sequences": 2}]})"));
  CHECK(own.stages[0].sequences == 2);
}

TEST_CASE("a recipe keeps what it does not change of the one that it extends") {
  const auto r = expanded(file(R"({"extends": "base", "data": {"prompt_tokens": 7}})"));
  CHECK(r.data.prompt_tokens == 7);
  CHECK(r.data.task == "sst2");
  CHECK(r.stages.size() == 1);
}

TEST_CASE("a loss term of a template is left out by null") {
  const auto r = expanded(file(R"({"extends": "base", "stages": [
      {"name": "a", "like": "distillation", "losses": {"relations": null}}]})"));
  CHECK(r.stages[0].losses.of<logits_term_options>()->form.tau == 2);
  CHECK_FALSE(r.stages[0].losses.of<relation_term_options>());
}

TEST_CASE("a null in the place of a template stands for no template") {
  const auto r =
      expanded(file(R"({"extends": "base", "stages": [{"name": "a", "like": null, "steps": 3}]})"));
  CHECK(r.stages[0].steps == 3);
  CHECK(r.stages[0].sequences == 8);
}

TEST_CASE("the recipe that a run writes down makes the same recipe again") {
  const auto r = expanded(find("base"));
  const nlohmann::json written = write_fields(r);
  CHECK(write_fields(read_recipe({written, "config.json"})) == written);
}

TEST_CASE("settings change a stage, those of a template, all of them, or the recipe") {
  const auto with = [](const char* setting) {
    auto f = filled(find("base"));
    apply_setting(f, parse_setting(setting));
    return read_recipe(f);
  };
  CHECK(with("a.steps=3").stages[0].steps == 3);
  CHECK(with("long.steps=4").stages[0].steps == 4);
  CHECK(with("stages.accumulate=5").stages[0].accumulate == 5);
  CHECK(with("stages.accumulate=5").stages[0].products == precision::exact);
  CHECK(with("data.prompt_tokens=6").data.prompt_tokens == 6);
  CHECK(with("a.losses.logits.weight=0.5").stages[0].losses.of<logits_term_options>()->weight ==
        0.5);
  CHECK(with("a.precision=bf16").stages[0].products == precision::bf16);
  CHECK(with("title=a = b").title == "a = b");
}

TEST_CASE("a setting changes every stage of that name or template") {
  auto f = filled(file(R"({"extends": "base", "stages": [
      {"name": "long", "like": "distillation"}, {"name": "b", "like": "long"}, {"name": "c"}]})"));
  apply_setting(f, parse_setting("long.steps=5"));
  const auto r = read_recipe(f);
  CHECK(r.stages[0].steps == 5);
  CHECK(r.stages[1].steps == 5);
  CHECK(r.stages[2].steps == 0);
}

TEST_CASE("what is wrong in a recipe is named with its file and its key") {
  const auto [text, message] = GENERATE(table<std::string, std::string>({
      {R"([])", "own.json: expected an object"},
      {R"({"stage": []})", "own.json: unknown key 'stage'"},
      {R"({"defaults": {"stepps": 1}})", "own.json: unknown key 'defaults.stepps'"},
      {R"({"templates": {"x": {"steps": -1}}})",
       "own.json: key 'templates.x.steps': expected a non-"},
      {R"({"stages": [{"name": "a", "schedule": "round"}]})",
       "own.json: key 'stages[0].schedule': expected one of constant, linear"},
      {R"({"extends": 5})", "own.json: key 'extends': expected the name of a recipe"},
      {R"({"extends": "nothing"})", "no recipe 'nothing'"},
      {R"({"extends": "circle"})", "circle: 'extends' goes in a circle"},
      {R"({"extends": "base", "stages": [{"name": "a", "like": "longer"}]})",
       "own.json: stage a: there is no template 'longer'"},
      {R"({"extends": "base", "defaults": {"losses": {"kl": {}}}})",
       "own.json: unknown key 'defaults.losses.kl'"},
  }));
  INFO(text);
  CHECK(tern_test::message_of<config_error>([&, t = text] {
          expanded(file(t.c_str()));
        }).find(message) == 0);
}

TEST_CASE("what is wrong in a setting is named with --set and its key") {
  const auto [text, message] = GENERATE(table<std::string, std::string>({
      {"nonsense", "--set: expected key=value, got 'nonsense'"},
      {"=1", "--set: expected key=value"},
      {"a.steps=null", "--set: expected a value"},
      {"a.stepps=3", "--set: unknown key 'a.stepps'"},
      {"b.steps=3", "--set: unknown key 'b'"},
      {"a.steps=many", "--set: key 'a.steps': expected a non-negative integer, got \"many\""},
      {"a=5", "--set: key 'a': expected an object, got 5"},
      {"stages=[]", "--set: key 'stages': expected an object, got []"},
  }));
  INFO(text);
  auto f = filled(find("base"));
  CHECK(tern_test::message_of<config_error>([&, t = text] {
          apply_setting(f, parse_setting(t));
        }).find(message) == 0);
}

TEST_CASE("stages that cannot run are refused") {
  const auto [stages, message] = GENERATE(table<std::string, std::string>({
      {R"([])", "recipe: expected at least one stage"},
      {R"([{"name": "a/b", "like": "long"}])", "recipe: expected a stage name of letters"},
      {R"([{"name": "data", "like": "long"}])", "recipe: 'data' cannot be the name of a stage"},
      {R"([{"name": "stages", "like": "long"}])", "recipe: 'stages' cannot be the name of a stage"},
      {R"([{"name": "a", "like": "long"}, {"name": "a", "like": "long"}])",
       "stage a: the recipe has two stages of this name"},
      {R"([{"name": "a", "like": "long", "from": "b"}])",
       "stage a: 'from': expected the name of an earlier stage"},
      {R"([{"name": "a", "like": "distillation"}])", "stage a: its losses need a teacher"},
      {R"([{"name": "a", "like": "long", "losses": {"cross_entropy": null}}])",
       "stage a: 'losses': expected at least one loss term"},
      {R"([{"name": "a", "like": "long", "steps": 0}])",
       "stage a: steps must be positive in a stage that does not calibrate"},
      {R"([{"name": "a", "like": "long", "warmup": 2}])",
       "stage a: warmup must lie between 0 and 1"},
      {R"([{"name": "a", "like": "long", "optimizer": {"sgd": {}}}])",
       "stage a: optimizer: expected exactly one, got 2"},
      {R"([{"name": "a", "like": "long", "losses": {"cross_entropy": {"weight": -1}}}])",
       "stage a: cross_entropy: weight must not be negative"},
      {R"([{"name": "a", "like": "long", "quantization_warmup": 1.5}])",
       "stage a: quantization_warmup must lie between 0 and 1"},
      {R"([{"name": "a", "like": "long", "edits": {"weight_quantizer": "block"}}])",
       "stage a: edits.weight_quantizer is for a stage that makes the model ternary, without"},
      {R"([{"name": "a", "like": "long", "edits": {"weight_quantizer": "block",
            "make_ternary": true, "learned_scales": "row"}}])",
       "stage a: edits.weight_quantizer is for a stage that makes the model ternary, without"},
  }));
  INFO(stages);
  const auto r = expanded(file((R"({"extends": "base", "stages": )" + stages + "}").c_str()));
  CHECK(tern_test::message_of<config_error>([&] { validate(r); }).find(message) == 0);
}
