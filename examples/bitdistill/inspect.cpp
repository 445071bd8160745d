// The command inspect: shows what a model, a saved state or the directory of a run holds.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <numeric>

#include "commands.hpp"
#include "format.hpp"
#include "parameter_table.hpp"
#include "tern/checkpoint/load_config.hpp"
#include "tern/io/safetensors_shards.hpp"
#include "tern/io/text_file.hpp"
#include "tern/recipe/result_row.hpp"

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

/// Values of a sample with their mean and standard deviation.
struct sample {
  std::vector<double> values;

  [[nodiscard]] double mean() const {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  }
  [[nodiscard]] double deviation() const {
    const double m = mean();
    double squares = 0;
    for (const double v : values) squares += (v - m) * (v - m);
    return std::sqrt(squares / static_cast<double>(values.size() - 1));
  }
};

/// Prints the mean and the deviation of every metric, for each method that all runs have.
void print_means(const std::vector<std::string>& runs) {
  std::vector<std::string> order;
  std::map<std::string, std::map<std::string, sample>> columns;
  for (const auto& run : runs)
    for (const tern::result_row& row : tern::read_table(run)) {
      if (!columns.contains(row.method)) order.push_back(row.method);
      auto& method = columns[row.method];
      for (const auto& [name, value] : row.metrics) method[name].values.push_back(value);
      method["megabytes"].values.push_back(row.megabytes);
      method["tokens/s"].values.push_back(row.tokens_per_second);
    }
  fmt::print("mean of {} runs\n", runs.size());
  for (const auto& method : order) {
    auto& all = columns[method];
    if (all.at("megabytes").values.size() != runs.size()) continue;
    std::string text = fmt::format("{:<28}", method);
    for (const auto& [name, values] : all)
      if (name != "megabytes" && name != "tokens/s")
        text += fmt::format("  {} {:.2f} +- {:.2f}", name, values.mean(), values.deviation());
    fmt::print("{}  {:.3f} MB  {} tokens/s\n", text, all.at("megabytes").mean(),
               multiple(all.at("tokens/s").mean()));
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
