#include "grid/plan.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include "grid/training_bytes.hpp"
#include "tern/checkpoint/load_config.hpp"
#include "tern/recipe/fingerprint.hpp"

namespace bitdistill {
namespace {

/// A text that is equal for runs which read the same data.
std::string key_of_data(const settings& s) {
  tern::recipe only_data;
  only_data.data = s.recipe.data;
  // The seed draws the embedded language. Texts that are read do not depend on it.
  if (only_data.data.task != "microworld") only_data.data.seed = 0;
  std::string key = tern::write_fields(only_data).at("data").dump() + s.model;
  for (const auto kind : {tern::stage_data::corpus, tern::stage_data::task})
    key += learns_from(s.recipe, kind) ? " yes" : " no";
  return key + (has_rows(s.recipe) ? " yes" : " no");
}

const tern::stage* find_stage(const tern::recipe& r, const std::string& name) {
  const auto at = std::ranges::find(r.stages, name, &tern::stage::name);
  return at == r.stages.end() ? nullptr : &*at;
}

}  // namespace

grid_plan::grid_plan(const options& o, const tern::recipe_file& file, tern::executor_ref ex) {
  const tern::recipe_grid grid = tern::read_grid(file.json.at("grid"), file.name);
  for (const tern::grid_point& p : tern::grid_points(file)) {
    auto point =
        std::make_unique<planned_point>(tern::point_name(grid, p), make_settings(o, p.file));
    try {
      tern::keep_stages_of_rows(point->run.recipe);
      require_consistent(point->run);
      point->input = &input_of(point->run, ex);
      point->fingerprints = tern::stage_fingerprints(point->run.recipe, point->input->data);
    } catch (const tern::error& e) {
      throw tern::config_error("point " + point->name + ": " + e.what());
    }
    points_.push_back(std::move(point));
  }
  plan_stages();
}

const run_input& grid_plan::input_of(settings& s, tern::executor_ref ex) {
  auto& input = inputs_[key_of_data(s)];
  if (!input) {
    input = std::make_unique<run_input>(read_input(s, ex));
  } else {
    if (s.model.empty()) s.recipe.model.vocab_size = input->text.tokenizer->vocab_size();
    require_usable(s, *input);
  }
  return *input;
}

void grid_plan::plan_stages() {
  for (std::size_t i = 0; i < points_.size(); ++i)
    for (const tern::stage& s : points_[i]->run.recipe.stages)
      if (index_.emplace(points_[i]->fingerprints.at(s.name).dump(), stages_.size()).second)
        stages_.push_back({i, &s, false});
}

void grid_plan::open(const std::filesystem::path& directory) {
  for (std::size_t i = 0; i < points_.size(); ++i) {
    planned_point& p = *points_[i];
    p.directory =
        std::make_unique<tern::run_directory>(directory / "points" / p.name, to_json(p.run));
    p.input->text.tokenizer->save(p.directory->path() / "tokenizer.json");
    for (const tern::stage& s : p.run.recipe.stages) {
      planned_stage& planned = stages_[index_of(p, s.name)];
      if (planned.finished || p.directory->finished(s.name) != p.fingerprints.at(s.name)) continue;
      planned = {i, &s, true};
    }
  }
}

void grid_plan::adopt(planned_point& p, const std::string& stage) const {
  const planned_stage& planned = stages_[index_of(p, stage)];
  const planned_point& home = *points_[planned.point];
  if (&home == &p && planned.one->name == stage) return;
  const std::lock_guard lock(p.adopting);
  if (p.directory->finished(stage) != p.fingerprints.at(stage))
    p.directory->adopt(stage, *home.directory, planned.one->name);
}

void grid_plan::adopt_origins(planned_point& p, const tern::stage& s) const {
  for (const auto& origin : {s.from, s.teacher})
    if (const tern::stage* before = find_stage(p.run.recipe, origin)) adopt(p, before->name);
}

std::size_t grid_plan::training_bytes(std::size_t parallel) const {
  std::vector<std::size_t> bytes;
  for (const planned_stage& s : stages_)
    if (!s.finished)
      bytes.push_back(bitdistill::training_bytes(points_[s.point]->run.recipe, *s.one));
  std::ranges::sort(bytes, std::greater());
  std::size_t sum = 0;
  for (std::size_t i = 0; i < std::min(parallel, bytes.size()); ++i) sum += bytes[i];
  return sum;
}

}  // namespace bitdistill
