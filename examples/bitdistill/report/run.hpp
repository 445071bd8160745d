// What the directory of a run says about it, and runs that differ only in their seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "report/svg.hpp"
#include "tern/metric/sample_statistics.hpp"
#include "tern/recipe/result_row.hpp"

namespace bitdistill {

/// What was found about the layers of a loss term before a stage.
struct layer_log {
  std::string term;
  std::size_t chosen = 0;
  std::vector<double> agreement, error;  ///< for each layer: mean cosine and its standard error
};

/// The lines of metrics.jsonl about one stage, as curves over its steps.
struct stage_log {
  std::string stage;                                      ///< name of the stage
  std::map<std::string, std::vector<svg::point>> curves;  ///< curves under the keys of the lines
  std::vector<layer_log> layers{};                        ///< choices of layers
};

/// One run.
struct run_record {
  std::filesystem::path directory;
  std::string title, task;
  std::uint64_t seed = 0;
  nlohmann::json config;               ///< its config.json
  std::vector<tern::result_row> rows;  ///< its table; empty while it is under way
  std::vector<stage_log> logs;         ///< one for each stage, in the recipe's order
};

/// Reads a run. Throws io_error, format_error or config_error where the directory is not one.
run_record read_run(const std::filesystem::path& directory);

/// Settings by their names, as --set takes them: "bitdistill.learning_rate", "data.task".
using named_settings = std::map<std::string, std::string>;

/// The settings of a run but its seeds.
named_settings settings_of(const nlohmann::json& config);

/// Runs with the same settings but for the seed.
struct run_group {
  std::string name;  ///< "A", "B" ... where there are several groups; variants of a grid; or empty
  named_settings settings;
  std::vector<run_record> runs;
  /// The axes of the grid that the runs are points of, and the variant on each; empty without one.
  std::vector<std::pair<std::string, std::string>> variants{};
  /// Methods of a grid's first group whose rows all other groups share, and therefore do not have.
  std::set<std::string> shared{};
};

/// Puts runs together that differ only in their seed, in the order of the arguments.
std::vector<run_group> group_runs(std::vector<run_record> runs);

/// The groups of runs and grids. The points of a grid that differ in their seed alone are a group.
/// A method whose rows are the same in all groups of a grid, since its stages were trained once,
/// stays in the first group only. Throws as read_run() does, and where two of the paths are grids.
std::vector<run_group> read_groups(const std::vector<std::string>& paths);

/// The values of a metric of a method, by the seed of the run. "megabytes" and "tokens_per_second"
/// are metrics, too.
std::map<std::uint64_t, double> values_of(const run_group& group, const std::string& method,
                                          const std::string& metric);

/// The difference between values over the seeds that both have; nothing where they share no seed.
std::optional<tern::paired_difference> difference_of(
    const std::map<std::uint64_t, double>& values,
    const std::map<std::uint64_t, double>& reference);

}  // namespace bitdistill
