// The directory of a run: config.json, metrics.jsonl, stages/<name>/ (master weights) with
// <name>.state while a stage is under way, models/<name>/ (deployed), table.txt and table.json.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tern/core/os_error.hpp"
#include "tern/json/json_fields.hpp"
#include "tern/json/read_json.hpp"
#include "tern/json/write_json.hpp"
#include "tern/train/trainer.hpp"

namespace tern::inline TERN_ABI {

/// One row of the final table.
struct result_row {
  std::string method;            ///< as the table prints it
  double accuracy = 0;           ///< percent, on the test part (dev where there is none)
  double megabytes = 0;          ///< of the deployed weights file, 10^6 bytes
  double tokens_per_second = 0;  ///< evaluation of the deployed model
};

/// What to do with a directory that exists.
enum class run_mode {
  create,  ///< the directory must not hold a run yet
  resume,  ///< continue, or begin where there is nothing to continue
};

/// The rows of a finished run's table.json; throws io_error, format_error or config_error.
inline std::vector<result_row> read_table(const std::filesystem::path& run) {
  const auto path = run / "table.json";
  const nlohmann::json list = read_json(path);
  if (!list.is_array()) throw format_error(path.string() + ": expected a list of rows");
  std::vector<result_row> rows;
  for (const auto& item : list) {
    const json_fields f(item, path.string());
    rows.push_back({f.get<std::string>("method"), f.get<double>("accuracy"),
                    f.get<double>("megabytes"), f.get<double>("tokens_per_second")});
  }
  return rows;
}

class run_directory {
 public:
  /// Makes the directory and writes its config.json. Throws config_error if it holds a run already
  /// (create), or one of another configuration (resume); nothing is overwritten.
  run_directory(std::filesystem::path path, const nlohmann::json& config, run_mode mode)
      : path_(std::move(path)) {
    std::error_code error;
    std::filesystem::create_directories(path_ / "stages", error);
    if (error) throw io_error("cannot make '" + path_.string() + "': " + error.message());
    const auto file = path_ / "config.json";
    if (!path_exists(file)) {
      write_json(file, config);
      return;
    }
    if (mode == run_mode::create)
      throw config_error(
          "'" + path_.string() +
          "' holds a run already: continue it with --resume or choose another --out");
    if (const auto key = first_difference(read_json(file), config); !key.empty())
      throw config_error(file.string() + ": cannot resume with another configuration: '" + key +
                         "' differs");
  }

  /// Of the directory; a stage's master weights; its state while under way; its deployed model.
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path stage(const std::string& name) const {
    return path_ / "stages" / name;
  }
  [[nodiscard]] std::filesystem::path state(const std::string& name) const {
    return path_ / "stages" / (name + ".state");
  }
  [[nodiscard]] std::filesystem::path model(const std::string& name) const {
    return path_ / "models" / name;
  }
  /// save_model writes config.json last, so it tells that a folder is complete.
  [[nodiscard]] bool has_stage(const std::string& name) const {
    return path_exists(stage(name) / "config.json");
  }

  /// Appends one line to metrics.jsonl.
  void log(const std::string& stage, const step_report& r) {
    nlohmann::ordered_json line = {{"stage", stage},
                                   {"step", r.step},
                                   {"steps", r.steps},
                                   {"loss", r.loss.total},
                                   {"ce", r.loss.ce},
                                   {"ld", r.loss.ld},
                                   {"ad", r.loss.ad},
                                   {"gradient_norm", r.gradient_norm},
                                   {"learning_rate", r.learning_rate},
                                   {"seconds", r.seconds},
                                   {"tokens", r.tokens}};
    if (r.health.measured) {
      line["zeros"] = r.health.zeros;
      line["flips"] = r.health.flips;
      line["scale_drift"] = r.health.scale_drift;
    }
    append(json_text(line, metrics().string()));
  }

  /// Drops the lines of a stage behind `step`: those that a killed process wrote after its last
  /// checkpoint and that the resumed one will write again.
  void rewind_log(const std::string& stage, std::size_t step) {
    std::ifstream in(metrics());
    std::string kept, line;
    while (std::getline(in, line)) {
      const auto json = nlohmann::json::parse(line, nullptr, false);
      if (!json.is_object()) continue;  // cut off by a kill
      const auto at = json.find("step");
      const bool behind = json.value("stage", nlohmann::json()) == stage && at != json.end() &&
                          at->is_number_unsigned() && at->get<std::size_t>() > step;
      if (!behind) kept += line + "\n";
    }
    write_file(metrics(), kept);
  }

  /// table.json: a list of {"method", "accuracy", "megabytes", "tokens_per_second"}; table.txt:
  /// `text`.
  void write_table(const std::vector<result_row>& rows, const std::string& text) const {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const result_row& r : rows)
      list.push_back({{"method", r.method},
                      {"accuracy", r.accuracy},
                      {"megabytes", r.megabytes},
                      {"tokens_per_second", r.tokens_per_second}});
    write_file(path_ / "table.txt", text);
    const auto file = path_ / "table.json";
    write_file(file, json_text(list, file.string(), 2) + "\n");
  }

 private:
  [[nodiscard]] std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }

  void append(const std::string& line) {
    std::ofstream out(metrics(), std::ios::app);
    out << line << "\n";
    if (!out.flush()) throw io_error("cannot write '" + metrics().string() + "'");
  }

  static std::string first_difference(const nlohmann::json& a, const nlohmann::json& b) {
    for (const auto& change : nlohmann::json::diff(a, b))
      return change.at("path").get<std::string>();
    return {};
  }

  std::filesystem::path path_;
};

}  // namespace tern::inline TERN_ABI
