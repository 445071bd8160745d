// The directory of a run. It holds config.json (the recipe), tokenizer.json, metrics.jsonl,
// stages/<name>/ (master weights and their fingerprint), stages/<name>.state, .teacher or
// .calibration/ while a stage is under way, models/<name>/ (the deployed model and its
// row of the table), table.txt and table.json.
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tern/core/os_error.hpp"
#include "tern/json/read_json.hpp"
#include "tern/json/write_json.hpp"
#include "tern/recipe/layer_agreement.hpp"
#include "tern/recipe/result_row.hpp"
#include "tern/train/trainer.hpp"

namespace tern::inline TERN_ABI {

/// The files of a run by their meaning. Several threads may use one object where each has stages of
/// its own.
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
    if (r.sent > 0) line["sent"] = r.sent;
    append(json_text(line, metrics().string()) + "\n");
  }

  /// Appends what was found about the layers of a stage's terms to metrics.jsonl.
  void log(const std::string& stage, const std::vector<layer_agreement>& terms) {
    nlohmann::ordered_json line = {{"stage", stage}};
    for (const layer_agreement& term : terms) {
      auto& of_term = line["layers"][term.term] = {{"chosen", term.chosen}};
      for (const sample_statistics& s : term.layers) {
        of_term["agreement"].push_back(s.mean);
        of_term["error"].push_back(s.standard_error());
      }
    }
    append(json_text(line, metrics().string()) + "\n");
  }

  /// Drops the lines of a stage about steps after `step`, and all of them where it is 0. A process
  /// that was killed wrote them after its last saved state, and the process that continues the
  /// stage will write them again.
  void rewind_log(const std::string& stage, std::size_t step) {
    const std::lock_guard lock(log_mutex_);
    if (!path_exists(metrics())) return;
    std::string kept;
    for_each_log_line([&](const nlohmann::ordered_json& line, const std::string& text) {
      const auto at = line.find("step");
      const bool later = step == 0 || (at != line.end() && at->is_number_unsigned() &&
                                       at->get<std::size_t>() > step);
      if (!later || stage_of(line) != stage) kept += text + "\n";
    });
    write_file(metrics(), kept);
  }

  /// Takes over the weights, the deployed model, the row and the log of a stage that another run
  /// has finished, under the name `name`. Files are linked rather than copied where the disk can
  /// do that. Throws io_error.
  void adopt(const std::string& name, const run_directory& other, const std::string& theirs) {
    forget(name);
    rewind_log(name, 0);
    std::string lines;
    {
      const std::lock_guard lock(other.log_mutex_);
      if (path_exists(other.metrics()))
        other.for_each_log_line([&](nlohmann::ordered_json line, const std::string&) {
          if (stage_of(line) != theirs) return;
          line["stage"] = name;
          lines += line.dump() + "\n";
        });
    }
    if (!lines.empty()) append(lines);
    if (path_exists(other.model(theirs))) link_folder(other.model(theirs), model(name));
    link_folder(other.stage(theirs), stage(name));  // last, since it makes the stage finished
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

  static std::string stage_of(const nlohmann::ordered_json& line) {
    const auto at = line.find("stage");
    return at != line.end() && at->is_string() ? at->get<std::string>() : "";
  }

  /// Calls f(json, text) for each line of metrics.jsonl that is whole: a process may have been
  /// killed while it wrote one.
  template <class F>
  void for_each_log_line(F&& f) const {
    std::ifstream in(metrics(), std::ios::binary);
    if (!in) throw io_error("cannot read '" + metrics().string() + "'");
    for (std::string line; std::getline(in, line);)
      if (auto json = nlohmann::ordered_json::parse(line, nullptr, false); json.is_object())
        f(json, line);
    if (in.bad()) throw io_error("cannot read '" + metrics().string() + "'");
  }

  void append(const std::string& lines) {
    const std::lock_guard lock(log_mutex_);
    std::ofstream out(metrics(), std::ios::app | std::ios::binary);
    out << lines;
    if (!out.flush()) throw io_error("cannot write '" + metrics().string() + "'");
  }

  /// Makes `to`, which must not exist, a folder with the same files. A process that is killed
  /// leaves no folder of that name.
  static void link_folder(const std::filesystem::path& from, const std::filesystem::path& to) {
    std::filesystem::path part = to;
    part += ".part";
    try {
      std::filesystem::remove_all(part);
      std::filesystem::create_directories(part);
      for (const auto& file : std::filesystem::directory_iterator(from)) {
        const auto target = part / file.path().filename();
        std::error_code cannot_link;
        std::filesystem::create_hard_link(file.path(), target, cannot_link);
        if (cannot_link) std::filesystem::copy_file(file.path(), target);
      }
      std::filesystem::rename(part, to);
    } catch (const std::filesystem::filesystem_error& e) {
      throw io_error("cannot copy '" + from.string() + "' to '" + to.string() +
                     "': " + e.code().message());
    }
  }

  mutable std::mutex log_mutex_;  ///< held while metrics.jsonl is read or written
  std::filesystem::path path_;
};

}  // namespace tern::inline TERN_ABI
