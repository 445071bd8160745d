#include "report/run.hpp"

#include <algorithm>
#include <utility>

#include "grid/grid.hpp"
#include "report/pictures.hpp"
#include "tern/core/error.hpp"
#include "tern/io/text_file.hpp"
#include "tern/json/read_json.hpp"
#include "tern/recipe/grid_points.hpp"

namespace bitdistill {
namespace {

namespace fs = std::filesystem;

/// Reads the choices of layers in a line of metrics.jsonl. One that is not as it should be counts
/// as none.
std::vector<layer_log> layers_in(const nlohmann::json& line) {
  std::vector<layer_log> all;
  try {
    for (const auto& [term, found] : line.at("layers").items())
      all.push_back({term, found.at("chosen").get<std::size_t>(),
                     found.at("agreement").get<std::vector<double>>(),
                     found.at("error").get<std::vector<double>>()});
  } catch (const nlohmann::json::exception&) {
    return {};
  }
  return all;
}

/// Adds the numbers of a line of metrics.jsonl to the curves of its stage.
void add_line(std::vector<stage_log>& logs, const nlohmann::json& line) {
  if (!line.is_object()) return;  // a process was killed while it wrote the line
  const auto log = std::ranges::find(logs, line.value("stage", std::string()), &stage_log::stage);
  const auto step = line.find("step");
  if (log != logs.end() && line.contains("layers")) log->layers = layers_in(line);
  if (log == logs.end() || step == line.end() || !step->is_number()) return;
  for (const auto& [key, value] : line.items())
    if (value.is_number()) log->curves[key].push_back({step->get<double>(), value.get<double>()});
}

/// Adds the settings in `part` with names that begin with `prefix`.
void add_settings(named_settings& all, const std::string& prefix, const nlohmann::json& part) {
  if (!part.is_object()) {
    all[prefix] = part.is_string() ? part.get<std::string>() : part.dump();
    return;
  }
  for (const auto& [key, value] : part.items())
    if (key != "seed") add_settings(all, prefix.empty() ? key : prefix + "." + key, value);
}

/// The rows of a method in all runs of a group.
std::vector<nlohmann::ordered_json> rows_of(const run_group& group, const std::string& method) {
  std::vector<nlohmann::ordered_json> rows;
  for (const run_record& run : group.runs)
    for (const tern::result_row& row : run.rows)
      if (row.method == method) rows.push_back(tern::row_to_json(row));
  return rows;
}

/// Leaves rows that are equal in all groups to the first one.
void share_rows(std::vector<run_group>& groups) {
  if (groups.size() < 2) return;
  for (const auto& method : methods_of(groups[0]))
    if (std::ranges::all_of(groups, [&](const run_group& g) {
          return rows_of(g, method) == rows_of(groups[0], method);
        }))
      groups[0].shared.insert(method);
  for (std::size_t g = 1; g < groups.size(); ++g)
    for (run_record& run : groups[g].runs)
      std::erase_if(run.rows, [&](const tern::result_row& row) {
        return groups[0].shared.contains(row.method);
      });
}

/// The groups of the points of a grid whose directories are there.
std::vector<run_group> read_grid_groups(const fs::path& directory, const nlohmann::json& config) {
  const std::string file = (directory / "config.json").string();
  const tern::recipe_grid grid = tern::read_grid(config.at("grid"), file);
  std::vector<run_group> groups;
  for (const tern::grid_point& p : tern::grid_points({config, file})) {
    const fs::path at = directory / "points" / tern::point_name(grid, p);
    if (!fs::exists(at / "config.json")) continue;
    run_record run = read_run(at);
    const std::string name = tern::variants_text(grid, p.variants);
    auto group = std::ranges::find(groups, name, &run_group::name);
    if (group == groups.end()) {
      groups.push_back({name, settings_of(run.config), {}});
      group = groups.end() - 1;
      for (std::size_t i = 0; i < grid.axes.size(); ++i)
        group->variants.emplace_back(grid.axes[i].name, p.variants[i]);
    }
    group->runs.push_back(std::move(run));
  }
  if (groups.empty()) throw tern::config_error("'" + directory.string() + "' has no points yet");
  share_rows(groups);
  return groups;
}

}  // namespace

run_record read_run(const fs::path& directory) {
  if (!fs::exists(directory / "config.json"))
    throw tern::config_error("'" + directory.string() + "' is not a run: it has no config.json");
  run_record run;
  run.directory = directory;
  run.config = tern::read_json(directory / "config.json");
  if (!run.config.is_object() || !run.config.contains("stages"))
    throw tern::config_error("'" + directory.string() +
                             "' is not a run: its config.json has no stages");
  const auto data = run.config.value("data", nlohmann::json::object());
  run.title = run.config.value("title", std::string("run"));
  run.task = data.value("task", std::string());
  run.seed = data.value("seed", std::uint64_t{0});
  for (const auto& stage : run.config.at("stages"))
    run.logs.push_back({stage.value("name", std::string()), {}});
  if (fs::exists(directory / "table.json")) run.rows = tern::read_table(directory);
  if (fs::exists(directory / "metrics.jsonl"))
    tern::for_each_line(tern::read_text(directory / "metrics.jsonl"),
                        [&](std::string_view line, std::size_t) {
                          add_line(run.logs, nlohmann::json::parse(line, nullptr, false));
                        });
  return run;
}

named_settings settings_of(const nlohmann::json& config) {
  named_settings all;
  for (const auto& [key, value] : config.items()) {
    if (key == "stages")
      for (const auto& stage : value) add_settings(all, stage.value("name", std::string()), stage);
    else if (key != "title" && key != "command")
      add_settings(all, key, value);
  }
  return all;
}

std::vector<run_group> group_runs(std::vector<run_record> runs) {
  std::vector<run_group> groups;
  for (run_record& run : runs) {
    auto settings = settings_of(run.config);
    auto group = std::ranges::find(groups, settings, &run_group::settings);
    if (group == groups.end()) {
      groups.push_back({"", std::move(settings), {}});
      group = groups.end() - 1;
    }
    group->runs.push_back(std::move(run));
  }
  if (groups.size() > 1)
    for (std::size_t i = 0; i < groups.size(); ++i)
      groups[i].name = i < 26 ? std::string(1, static_cast<char>('A' + i)) : std::to_string(i + 1);
  return groups;
}

std::map<std::uint64_t, double> values_of(const run_group& group, const std::string& method,
                                          const std::string& metric) {
  std::map<std::uint64_t, double> values;
  for (const run_record& run : group.runs) {
    const auto row = std::ranges::find(run.rows, method, &tern::result_row::method);
    if (row == run.rows.end()) continue;
    if (metric == "megabytes") values[run.seed] = row->megabytes;
    if (metric == "tokens_per_second") values[run.seed] = row->tokens_per_second;
    for (const auto& [name, value] : row->metrics)
      if (name == metric) values[run.seed] = value;
  }
  return values;
}

std::vector<run_group> read_groups(const std::vector<std::string>& paths) {
  std::vector<run_record> runs;
  for (const fs::path path : paths) {
    if (is_grid(path)) {
      if (paths.size() > 1)
        throw tern::config_error("'" + path.string() +
                                 "' is a grid, which is shown by itself: give it alone");
      return read_grid_groups(path, tern::read_json(path / "config.json"));
    }
    runs.push_back(read_run(path));
  }
  return group_runs(std::move(runs));
}

std::optional<tern::paired_difference> difference_of(
    const std::map<std::uint64_t, double>& values,
    const std::map<std::uint64_t, double>& reference) {
  std::vector<double> first, second;
  for (const auto& [seed, value] : values)
    if (const auto at = reference.find(seed); at != reference.end()) {
      first.push_back(value);
      second.push_back(at->second);
    }
  if (first.empty()) return {};
  return tern::compare_pairs(first, second);
}

}  // namespace bitdistill
