// The command inspect: shows what a model, a saved state or the directory of a run holds.
#include <fmt/core.h>

#include <filesystem>
#include <map>
#include <utility>

#include "commands.hpp"
#include "format.hpp"
#include "parameter_table.hpp"
#include "report/pictures.hpp"
#include "tern/checkpoint/load_config.hpp"
#include "tern/io/safetensors_shards.hpp"
#include "tern/io/text_file.hpp"

namespace bitdistill {
namespace {

namespace fs = std::filesystem;

void print_tensors(const tern::safetensors_file& file) {
  for (const auto& [key, value] : file.metadata()) fmt::print("  {} = {}\n", key, value);
  std::size_t bytes = 0;
  for (const auto& t : file.tensors()) {
    fmt::print("  {:<52} {:<5} {}\n", t.name, tern::dtype_name(t.dtype),
               tern::detail::shape_text(t.shape));
    bytes += t.data.size();
  }
  fmt::print("  {} tensors, {} bytes, checksum {}\n", file.tensors().size(), grouped(bytes),
             file.verify() ? "right" : "missing");
}

void print_tensors(const tern::gguf_file& file) {
  for (const auto& t : file.tensors())
    fmt::print("  {:<52} {:<5} {}\n", t.name, tern::ggml_type_name(t.type),
               tern::detail::shape_text(t.shape));
  fmt::print("  {} keys, {} tensors\n", file.metadata().values().size(), file.tensors().size());
}

void print_model(const fs::path& model) {
  const auto config = tern::load_config(model);
  fmt::print("{}: {} model, {}, norms of stage 1: {}\n", model.string(), config.model_type,
             config.ternary ? "ternary" : "full precision",
             tern::name_of(config.sub_ln, tern::norm_placement_names));
  print_parameter_table(config);
  if (tern::is_gguf(model)) return print_tensors(tern::gguf_file(model));
  const tern::safetensors_shards reader(model);
  for (const auto& file : reader.files()) {
    fmt::print("{}\n", file.path().string());
    print_tensors(file);
  }
}

/// The last line about each stage in metrics.jsonl.
std::map<std::string, nlohmann::json> last_lines(const fs::path& metrics) {
  std::map<std::string, nlohmann::json> last;
  if (!fs::exists(metrics)) return last;
  tern::for_each_line(tern::read_text(metrics), [&](std::string_view line, std::size_t) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (json.is_object() && json.contains("stage")) last[json["stage"]] = json;
  });
  return last;
}

void print_run(const fs::path& directory, const nlohmann::json& config) {
  const auto data = config.value("data", nlohmann::json::object());
  fmt::print("{}: {}, task {}, seed {}\n", directory.string(),
             config.value("title", std::string("run")), data.value("task", std::string()),
             data.value("seed", std::uint64_t{0}));
  for (const auto& [stage, line] : last_lines(directory / "metrics.jsonl"))
    fmt::print("  {:<16} step {}/{} loss {} {}\n", stage, line.value("step", 0),
               line.value("steps", 0), five(line.value("loss", 0.0)),
               fs::exists(directory / "stages" / stage / "config.json") ? "done" : "under way");
  if (fs::exists(directory / "table.txt"))
    fmt::print("\n{}", tern::read_text(directory / "table.txt"));
}

/// The metric's mean over the runs of a group with its standard error, and how it differs from the
/// table's first method.
std::string mean_text(const run_group& group, const std::string& method, const std::string& first,
                      const std::string& metric) {
  std::vector<double> values, references;
  const auto reference = values_of(group, first, metric);
  for (const auto& [seed, value] : values_of(group, method, metric)) {
    values.push_back(value);
    if (const auto at = reference.find(seed); at != reference.end())
      references.push_back(at->second);
  }
  if (values.empty()) return "";
  const auto s = tern::statistics_of(values);
  std::string text = fmt::format("  {} {:.2f} +- {:.2f}", metric, s.mean, s.standard_error());
  if (method == first || references.size() != values.size()) return text;
  const auto pair = tern::compare_pairs(values, references);
  return text + fmt::format(" ({:+.2f} +- {:.2f}{})", pair.difference.mean,
                            pair.difference.standard_error(),
                            pair.distinguishable ? "" : ", not distinguishable");
}

/// Prints the tables of runs that differ only in their seed as means.
void print_means(const std::vector<std::string>& paths) {
  std::vector<run_record> runs;
  for (const auto& path : paths) {
    runs.push_back(read_run(path));
    if (runs.back().rows.empty())
      throw tern::config_error("'" + path + "' has no table: the run is not finished");
  }
  const auto groups = group_runs(std::move(runs));
  const auto metrics = metrics_of(groups);
  for (const run_group& group : groups) {
    fmt::print(
        "{}{} runs: mean +- standard error (difference to the first method, paired by seed)\n",
        group.name.empty() ? "" : group.name + ": ", group.runs.size());
    const auto methods = methods_of(group);
    for (const auto& method : methods) {
      std::string text = fmt::format("{:<28}", method);
      for (const auto& metric : metrics) text += mean_text(group, method, methods[0], metric);
      fmt::print("{}\n", text);
    }
  }
}

}  // namespace

void inspect(const options& o) {
  if (o.paths.size() > 1) return print_means(o.paths);
  const fs::path path = o.paths[0];
  if (!fs::exists(path)) throw tern::io_error("'" + path.string() + "' does not exist");
  if (tern::is_gguf(path)) return print_model(path);
  if (!fs::is_directory(path)) {
    fmt::print("{}\n", path.string());
    return print_tensors(tern::safetensors_file(path));
  }
  if (!fs::exists(path / "config.json"))
    throw tern::config_error("'" + path.string() +
                             "' is neither a run nor a model: it has no config.json");
  const auto config = tern::read_json(path / "config.json");
  config.contains("model_type") ? print_model(path) : print_run(path, config);
}

}  // namespace bitdistill
