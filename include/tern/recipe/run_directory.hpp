// The directory of a run. It holds config.json (the recipe), tokenizer.json, metrics.jsonl,
// stages/<name>/ (master weights and their fingerprint), stages/<name>.state, .teacher or
// .calibration/ while a stage is under way, models/<name>/ (the deployed model and its
// row of the table), table.txt and table.json.
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tern/core/os_error.hpp"
#include "tern/json/read_json.hpp"
#include "tern/json/write_json.hpp"
#include "tern/recipe/result_row.hpp"
#include "tern/train/trainer.hpp"

namespace tern::inline TERN_ABI {

/// The files of a run by their meaning.
class run_directory {
 public:
  /// Makes the directory and writes its config.json. Throws io_error.
  run_directory(std::filesystem::path path, const nlohmann::json& config) : path_(std::move(path)) {
    std::error_code error;
    std::filesystem::create_directories(path_ / "stages", error);
    if (error) throw io_error("cannot make '" + path_.string() + "': " + error.message());
    const auto file = path_ / "config.json";
    if (!path_exists(file) || read_json(file) != config) write_json(file, config);
  }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }  ///< the directory
  /// The folder of a stage's master weights.
  [[nodiscard]] std::filesystem::path stage(const std::string& name) const {
    return path_ / "stages" / name;
  }
  /// The file with the state of a stage that is under way.
  [[nodiscard]] std::filesystem::path state(const std::string& name) const {
    return path_ / "stages" / (name + ".state");
  }
  /// The folder with the finished layers of a stage that is being calibrated.
  [[nodiscard]] std::filesystem::path calibration(const std::string& name) const {
    return path_ / "stages" / (name + ".calibration");
  }
  /// The file with what the teacher of a stage that is under way said about its examples.
  [[nodiscard]] std::filesystem::path teacher_cache(const std::string& name) const {
    return path_ / "stages" / (name + ".teacher");
  }
  /// The folder of a stage's deployed model.
  [[nodiscard]] std::filesystem::path model(const std::string& name) const {
    return path_ / "models" / name;
  }

  /// The fingerprint of a finished stage; nothing where the stage is not finished. save_model
  /// writes config.json last, so that file tells that a folder is complete.
  [[nodiscard]] std::optional<nlohmann::json> finished(const std::string& name) const {
    const auto folder = stage(name);
    if (!path_exists(folder / "config.json") || !path_exists(folder / fingerprint_file)) return {};
    return read_json(folder / fingerprint_file);
  }
  /// Removes the deployed model of a stage with the row, then its weights. Its state stays. Throws
  /// io_error where they cannot be removed.
  void forget(const std::string& name) const {
    for (const auto& folder : {model(name), stage(name)}) {
      std::error_code error;
      std::filesystem::remove_all(folder, error);
      if (error) throw io_error("cannot remove '" + folder.string() + "': " + error.message());
    }
  }
  /// Writes the fingerprint of a stage. Must be called before its weights are saved.
  void write_fingerprint(const std::string& name, const nlohmann::json& fingerprint) const {
    std::error_code error;
    std::filesystem::create_directories(stage(name), error);
    if (error) throw io_error("cannot make '" + stage(name).string() + "': " + error.message());
    write_json(stage(name) / fingerprint_file, fingerprint);
  }

  /// The row of a stage where it was measured before with the same weights and data; else nothing.
  [[nodiscard]] std::optional<result_row> measured(const std::string& name,
                                                   const std::string& checksum) const {
    const auto file = model(name) / row_file;
    if (!path_exists(file)) return {};
    const auto json = read_json<nlohmann::ordered_json>(file);
    if (!json.is_object() || !json.contains("row") || !json.contains("checksum") ||
        json.at("checksum") != checksum)
      return {};
    return row_from_json(json.at("row"), file.string());
  }
  /// Keeps the row of a stage beside its deployed model.
  void write_row(const std::string& name, const std::string& checksum,
                 const result_row& row) const {
    const auto file = model(name) / row_file;
    const nlohmann::ordered_json json = {{"checksum", checksum}, {"row", row_to_json(row)}};
    write_file(file, json_text(json, file.string(), 2) + "\n");
  }

  /// Appends the report of a step to metrics.jsonl.
  void log(const std::string& stage, const step_report& r) {
    nlohmann::ordered_json line = {
        {"stage", stage}, {"step", r.step}, {"steps", r.steps}, {"loss", r.loss.total}};
    for (const loss_value& term : r.loss.list()) line[term.name] = term.value;
    line["gradient_norm"] = r.gradient_norm;
    line["learning_rate"] = r.learning_rate;
    line["seconds"] = r.seconds;
    line["tokens"] = r.tokens;
    if (r.health.measured) {
      line["zeros"] = r.health.zeros;
      line["flips"] = r.health.flips;
      line["scale_drift"] = r.health.scale_drift;
    }
    append(json_text(line, metrics().string()));
  }

  /// Drops the lines of a stage about steps after `step`. A process that was killed wrote them
  /// after its last saved state, and the process that continues the stage will write them again.
  void rewind_log(const std::string& stage, std::size_t step) {
    if (!path_exists(metrics())) return;
    std::ifstream in(metrics(), std::ios::binary);
    if (!in) throw io_error("cannot read '" + metrics().string() + "'");
    std::string kept, line;
    while (std::getline(in, line)) {
      const auto json = nlohmann::json::parse(line, nullptr, false);
      if (!json.is_object()) continue;  // a process was killed while it wrote the line
      const auto at = json.find("step");
      const bool later = json.value("stage", nlohmann::json()) == stage && at != json.end() &&
                         at->is_number_unsigned() && at->get<std::size_t>() > step;
      if (!later) kept += line + "\n";
    }
    if (in.bad()) throw io_error("cannot read '" + metrics().string() + "'");
    in.close();  // Windows does not replace a file that is open
    write_file(metrics(), kept);
  }

  /// Writes table.json (a list of rows, see row_to_json) and table.txt (`text`).
  void write_table(const std::vector<result_row>& rows, const std::string& text) const {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const result_row& row : rows) list.push_back(row_to_json(row));
    write_file(path_ / "table.txt", text);
    const auto file = path_ / "table.json";
    write_file(file, json_text(list, file.string(), 2) + "\n");
  }

 private:
  static constexpr const char* fingerprint_file = "fingerprint.json";
  static constexpr const char* row_file = "result.json";

  [[nodiscard]] std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }

  void append(const std::string& line) {
    std::ofstream out(metrics(), std::ios::app | std::ios::binary);
    out << line << "\n";
    if (!out.flush()) throw io_error("cannot write '" + metrics().string() + "'");
  }

  std::filesystem::path path_;
};

}  // namespace tern::inline TERN_ABI
