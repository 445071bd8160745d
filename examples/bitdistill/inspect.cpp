// The command inspect: shows what a model, a saved state or the directory of a run holds.
#include <fmt/core.h>

#include <filesystem>
#include <map>

#include "commands.hpp"
#include "format.hpp"
#include "grid/grid.hpp"
#include "parameter_table.hpp"
#include "report/means.hpp"
#include "report/tensorboard.hpp"
#include "standard_output.hpp"
#include "table.hpp"
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

/// The groups of several runs, or of a grid. Runs without a table are refused.
std::vector<run_group> read_tables(const std::vector<std::string>& paths) {
  auto groups = read_groups(paths);
  if (paths.size() > 1)
    for (const run_group& group : groups)
      for (const run_record& run : group.runs)
        if (run.rows.empty())
          throw tern::config_error("'" + run.directory.string() +
                                   "' has no table: the run is not finished");
  return groups;
}

/// Prints the rows of runs that differ only in their seed as means, and those of a grid.
void print_means(const std::vector<run_group>& groups) {
  fmt::print("mean +- standard error; differences are paired by seed\n\n{}",
             means_text(means_of(groups)));
}

void print_grid(const fs::path& directory, const nlohmann::json& config) {
  const auto groups = read_groups({directory.string()});
  std::size_t points = 0, finished = 0;
  for (const run_group& group : groups)
    for (const run_record& run : group.runs) {
      ++points;
      finished += fs::exists(run.directory / "table.json") ? 1 : 0;
    }
  fmt::print("{}: {}, grid, {} of {} points are finished\n", directory.string(),
             config.value("title", std::string("run")), finished, points);
  print_means(groups);
}

/// Prints the table of a run, the means of several, or those of a grid.
void print_csv(const std::vector<std::string>& paths) {
  const auto groups = read_tables(paths);
  const bool one = paths.size() == 1 && !is_grid(paths[0]);
  put(one ? table_csv(groups.front().runs.front().rows) : means_csv(means_of(groups)));
}

}  // namespace

void inspect(const options& o) {
  if (o.csv) return print_csv(o.paths);
  if (!o.tensorboard.empty()) return write_event_files(o.paths, o.tensorboard);
  if (o.paths.size() > 1) return print_means(read_tables(o.paths));
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
  if (config.contains("model_type")) return print_model(path);
  config.contains("grid") ? print_grid(path, config) : print_run(path, config);
}

}  // namespace bitdistill
