// What the directory of a run says about it, and runs that differ only in their seed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "report/svg.hpp"
#include "tern/metric/sample_statistics.hpp"
#include "tern/recipe/result_row.hpp"

namespace bitdistill {

/// The lines of metrics.jsonl about one stage, as curves over its steps.
struct stage_log {
  std::string stage;                                      ///< name of the stage
  std::map<std::string, std::vector<svg::point>> curves;  ///< curves under the keys of the lines
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
  std::string name;  ///< "A", "B" ... where there are several groups; else empty
  named_settings settings;
  std::vector<run_record> runs;
};

/// Puts runs together that differ only in their seed, in the order of the arguments.
std::vector<run_group> group_runs(std::vector<run_record> runs);

/// The values of a metric of a method, by the seed of the run. "megabytes" and "tokens_per_second"
/// are metrics, too.
std::map<std::uint64_t, double> values_of(const run_group& group, const std::string& method,
                                          const std::string& metric);

}  // namespace bitdistill
