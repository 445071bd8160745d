// What a model folder, a checkpoint or a run directory holds.
#include <fmt/core.h>

#include <filesystem>
#include <map>

#include "commands.hpp"
#include "format.hpp"
#include "parameter_table.hpp"
#include "tern/io/checkpoint_reader.hpp"
#include "tern/io/text_file.hpp"
#include "tern/model/config_json.hpp"

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

void print_model(const fs::path& folder) {
  const auto config = tern::read_model_config(folder / "config.json");
  fmt::print("{}: {} model, {}, norms of stage 1: {}\n", folder.string(), config.model_type,
             config.ternary ? "ternary" : "full precision", tern::name_of(config.sub_ln));
  print_parameter_table(config);
  const tern::checkpoint_reader reader(folder);
  for (const auto& file : reader.files()) {
    fmt::print("{}\n", file.path().string());
    print_tensors(file);
  }
}

/// Last step of each stage that metrics.jsonl knows.
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
  fmt::print("{}: run of task {}, seed {}\n", directory.string(),
             config.value("task", std::string()), config.value("seed", std::uint64_t{0}));
  for (const auto& [stage, line] : last_lines(directory / "metrics.jsonl"))
    fmt::print("  {:<16} step {}/{} loss {} {}\n", stage, line.value("step", 0),
               line.value("steps", 0), five(line.value("loss", 0.0)),
               fs::exists(directory / "stages" / stage / "config.json") ? "done" : "under way");
  if (fs::exists(directory / "table.txt"))
    fmt::print("\n{}", tern::read_text(directory / "table.txt"));
}

}  // namespace

void inspect(const options& o) {
  const fs::path path = o.path;
  if (!fs::exists(path)) throw tern::io_error("'" + o.path + "' does not exist");
  if (!fs::is_directory(path)) {
    fmt::print("{}\n", o.path);
    return print_tensors(tern::safetensors_file(path));
  }
  if (!fs::exists(path / "config.json"))
    throw tern::config_error("'" + o.path +
                             "' is neither a run nor a model: it has no config.json");
  const auto config = tern::read_json(path / "config.json");
  config.contains("model_type") ? print_model(path) : print_run(path, config);
}

}  // namespace bitdistill
