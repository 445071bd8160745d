// Grids: which points they have, what the points are, and what is refused.
#include "tern/recipe/grid_points.hpp"

#include <string>
#include <vector>

#include "tests/message.hpp"
#include "tests/support.hpp"

using namespace tern;
using strings = std::vector<std::string>;

namespace {

/// A recipe of three stages with a grid.
recipe_file grid_file(const std::string& grid) {
  nlohmann::json json = nlohmann::json::parse(R"({
    "stages": [
      {"name": "base", "steps": 1, "losses": {"cross_entropy": {}}, "optimizer": {"adamw": {}}},
      {"name": "side", "like": "extra", "from": "base", "steps": 1},
      {"name": "tuned", "from": "base", "steps": 5, "row": "Tuned"}]})");
  json["grid"] = nlohmann::json::parse(grid);
  return {std::move(json), "own.json"};
}

strings names(const recipe_file& f) {
  const recipe_grid grid = read_grid(f.json.at("grid"), f.name);
  strings list;
  for (const grid_point& p : grid_points(f)) list.push_back(point_name(grid, p));
  return list;
}

std::string refusal(const std::string& grid) {
  return tern_test::message_of([&] { static_cast<void>(grid_points(grid_file(grid))); });
}

}  // namespace

TEST_CASE("a grid has a point for each seed and each combination of variants") {
  CHECK(names(grid_file(R"({"seeds": [1, 2], "axes": [
          {"name": "rate", "key": "tuned.learning_rate", "values": [0.5, 2]},
          {"name": "size", "variants": [{"name": "small"}, {"name": "big"}]}]})")) ==
        strings{"rate=0.5,size=small,seed=1", "rate=0.5,size=big,seed=1",
                "rate=2,size=small,seed=1", "rate=2,size=big,seed=1", "rate=0.5,size=small,seed=2",
                "rate=0.5,size=big,seed=2", "rate=2,size=small,seed=2", "rate=2,size=big,seed=2"});
}

TEST_CASE("a grid may have axes alone or seeds alone") {
  CHECK(names(grid_file(R"({"axes": [{"name": "n", "key": "tuned.steps", "values": [1, 2]}]})")) ==
        strings{"n=1", "n=2"});
  CHECK(names(grid_file(R"({"seeds": [7, 5]})")) == strings{"seed=7", "seed=5"});
}

TEST_CASE("a seed is that of the data and of all stages") {
  const auto points = grid_points(grid_file(R"({"seeds": [4, 9]})"));
  const recipe r = read_recipe(points.at(1).file);
  CHECK(r.data.seed == 9);
  for (const stage& s : r.stages) CHECK(s.seed == 9);
}

TEST_CASE("without seeds the recipe keeps its own") {
  auto file = grid_file(R"({"axes": [{"name": "n", "key": "tuned.steps", "values": [1]}]})");
  file.json["data"]["seed"] = 3;
  CHECK(read_recipe(grid_points(file).at(0).file).data.seed == 3);
}

TEST_CASE("a variant changes the recipe as --set does") {
  const auto points = grid_points(grid_file(R"({"axes": [{"name": "what", "variants": [
      {"name": "plain"},
      {"name": "changed", "set": ["tuned.steps=9", "extra.losses.logits.tau=2",
                                  "model.hidden_size=32"]}]}]})"));
  CHECK(read_recipe(points.at(0).file).stages[2].steps == 5);
  const recipe r = read_recipe(points.at(1).file);
  CHECK(r.stages[2].steps == 9);
  CHECK(r.stages[1].losses.of<logits_term_options>()->form.tau == 2);
  CHECK(r.model.hidden_size == 32);
}

TEST_CASE("values may be numbers, words, true and false") {
  const auto points = grid_points(grid_file(R"({"axes": [
      {"name": "norms", "key": "tuned.edits.sub_ln", "values": ["none", "all"]},
      {"name": "sorted", "key": "tuned.sort_by_length", "values": [false, true]}]})"));
  const stage s = read_recipe(points.at(3).file).stages[2];
  CHECK(s.edits.sub_ln == norm_placement::all);
  CHECK(s.sort_by_length);
}

TEST_CASE("stages that no row needs are left out") {
  recipe r = read_recipe(grid_points(grid_file(R"({"seeds": [1]})")).at(0).file);
  keep_stages_of_rows(r);
  REQUIRE(r.stages.size() == 2);
  CHECK(r.stages[0].name == "base");
  CHECK(r.stages[1].name == "tuned");
}

TEST_CASE("a teacher is needed by the row of its student") {
  auto file = grid_file(R"({"seeds": [1]})");
  file.json["stages"][2]["teacher"] = "side";
  recipe r = read_recipe(grid_points(file).at(0).file);
  keep_stages_of_rows(r);
  CHECK(r.stages.size() == 3);
}

TEST_CASE("what a grid cannot be is refused with file and key") {
  const auto [what, grid, message] = GENERATE(table<const char*, const char*, const char*>({
      {"a list", "[1]", "own.json: key 'grid': expected an object, got [1]"},
      {"an unknown key", R"({"axis": []})",
       "own.json: unknown key 'grid.axis', expected one of seeds, axes"},
      {"nothing", "{}", "own.json: key 'grid.axes': expected axes, seeds or both, got none"},
      {"no axis", R"({"axes": []})",
       "own.json: key 'grid.axes': expected at least one element, got []"},
      {"no seed", R"({"seeds": []})",
       "own.json: key 'grid.seeds': expected at least one element, got []"},
      {"a negative seed", R"({"seeds": [1, -1]})",
       "own.json: key 'grid.seeds[1]': expected a non-negative integer, got -1"},
      {"a seed twice", R"({"seeds": [3, 1, 3]})",
       "own.json: key 'grid.seeds': expected different elements, got \"3\" twice"},
      {"an axis of nothing", R"({"axes": [{"name": "a"}]})",
       "own.json: key 'grid.axes[0].variants': expected either these or 'key' and 'values', got "
       "neither"},
      {"values without a key", R"({"axes": [{"name": "a", "values": [1]}]})",
       "own.json: key 'grid.axes[0].key': expected a value, got nothing"},
      {"a single value", R"({"axes": [{"name": "a", "key": "tuned.steps", "values": 3}]})",
       "own.json: key 'grid.axes[0].values': expected a list, got 3"},
      {"no value", R"({"axes": [{"name": "a", "key": "tuned.steps", "values": []}]})",
       "own.json: key 'grid.axes[0].values': expected at least one element, got []"},
      {"a list as a value", R"({"axes": [{"name": "a", "key": "tuned.steps", "values": [[1]]}]})",
       "own.json: key 'grid.axes[0].values[0]': expected a number, a string, true or false (other "
       "values need 'variants'), got [1]"},
      {"a value twice", R"({"axes": [{"name": "a", "key": "tuned.steps", "values": [1, 1]}]})",
       "own.json: key 'grid.axes[0].values': expected different elements, got \"1\" twice"},
      {"a value that is no name",
       R"({"axes": [{"name": "a", "key": "tuned.from", "values": ["x/y"]}]})",
       "own.json: key 'grid.axes[0].values[0]': expected a name of letters, digits, '-', '_', '.' "
       "and '+', got \"x/y\""},
      {"an axis twice",
       R"({"axes": [{"name": "a", "variants": [{"name": "x"}]},
                    {"name": "a", "variants": [{"name": "x"}]}]})",
       "own.json: key 'grid.axes': expected different elements, got \"a\" twice"},
      {"a variant twice",
       R"({"axes": [{"name": "a", "variants": [{"name": "x"}, {"name": "x"}]}]})",
       "own.json: key 'grid.axes[0].variants': expected different elements, got \"x\" twice"},
      {"an axis of seeds", R"({"axes": [{"name": "seed", "key": "stages.seed", "values": [1]}]})",
       "own.json: key 'grid.axes[0].name': expected another name, since seeds stand in "
       "'grid.seeds', got \"seed\""},
      {"a setting without a value",
       R"({"axes": [{"name": "a", "variants": [{"name": "x", "set": ["tuned.steps"]}]}]})",
       "own.json: key 'grid.axes[0].variants[0].set[0]': expected key=value, got 'tuned.steps'"},
      {"a setting of the grid",
       R"({"axes": [{"name": "a", "variants": [{"name": "x", "set": ["grid.seeds=[1]"]}]}]})",
       "own.json: key 'grid.axes[0].variants[0].set[0]': expected a setting of the recipe, got "
       "\"grid.seeds=[1]\""},
      {"an unknown stage", R"({"axes": [{"name": "a", "key": "student.steps", "values": [1]}]})",
       "own.json: axis 'a', variant '1': unknown key 'student', expected one of title, model, "
       "data, "
       "grid, stages, base, side, tuned"},
      {"an unknown field", R"({"axes": [{"name": "a", "key": "tuned.step", "values": [1]}]})",
       "own.json: axis 'a', variant '1': unknown key 'tuned.step', expected one of name, like, "},
      {"a value of another type",
       R"({"axes": [{"name": "a", "key": "tuned.steps", "values": ["x"]}]})",
       "own.json: axis 'a', variant 'x': key 'tuned.steps': expected a non-negative integer, got "
       "\"x\""},
  }));
  INFO(what);
  CHECK(refusal(grid).starts_with(message));
}

TEST_CASE("a grid of very many points is refused") {
  std::string axes;
  for (const char* name : {"a", "b", "c", "d", "e"})
    axes += std::string(axes.empty() ? "" : ", ") + R"({"name": ")" + name +
            R"(", "key": "tuned.steps", "values": [1, 2, 3, 4, 5, 6, 7]})";
  CHECK(refusal(R"({"axes": [)" + axes + "]}") ==
        "own.json: key 'grid.axes': expected at most 10000 points, got more");
}

TEST_CASE("a grid is changed by --set and by a file that extends it") {
  auto file = grid_file(R"({"seeds": [1], "axes": [
      {"name": "n", "key": "tuned.steps", "values": [1, 2]}]})");
  apply_setting(file, parse_setting("grid.seeds=[5, 6]"));
  CHECK(names(file) == strings{"n=1,seed=5", "n=2,seed=5", "n=1,seed=6", "n=2,seed=6"});
  const auto base = grid_file(R"({"seeds": [1, 2]})");
  const auto merged =
      resolve_extends({nlohmann::json::parse(R"({"extends": "x", "grid": null})"), "mine.json"},
                      [&](const std::string&) { return base; });
  CHECK_FALSE(has_grid(merged));
  CHECK(tern_test::message_of([&] { apply_setting(file, parse_setting("grid.seeds=5")); }) ==
        "--set: key 'grid.seeds': expected a list, got 5");
}
