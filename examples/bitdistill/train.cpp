// The commands demo, run, pretrain, finetune and distill: each runs the stages of a recipe.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "commands.hpp"
#include "console.hpp"
#include "format.hpp"
#include "grid/grid.hpp"
#include "known_shape.hpp"
#include "ranks.hpp"
#include "recipes.hpp"
#include "run_input.hpp"
#include "settings.hpp"
#include "signals.hpp"
#include "stopped.hpp"
#include "table.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/core/together.hpp"
#include "tern/recipe/pipeline.hpp"
#include "tern/recipe/recipe_file.hpp"

namespace bitdistill {
namespace {

namespace fs = std::filesystem;

/// Shows the run and saves the tokenizer, with all that belongs to it, beside every model that the
/// run makes.
class session : public console {
 public:
  session(const tern::run_directory& directory, const tern::model_text& text)
      : directory_(directory), text_(text) {}

  void on_end(const tern::stage& s) override {
    add_text(text_, directory_.stage(s.name));
    console::on_end(s);
  }
  void on_skip(const tern::stage& s) override {
    add_text(text_, directory_.stage(s.name));
    console::on_skip(s);
  }
  void on_result(const tern::stage& s, const tern::result_row& row) override {
    add_text(text_, directory_.model(s.name));
    console::on_result(s, row);
  }

 private:
  const tern::run_directory& directory_;
  const tern::model_text& text_;
};

/// The files and folders that a run writes. config.json, which marks the directory as a run, is
/// removed last.
constexpr std::array run_files{"table.txt", "table.json", "metrics.jsonl", "tokenizer.json",
                               "models",    "stages",     "config.json"};

/// Refuses an --out directory whose files would be written over: files that are not part of a run,
/// or a run that the command does not continue.
void require_free(const options& o, const settings& s) {
  const auto config = fs::path(o.out) / "config.json";
  if (!fs::exists(config)) {
    for (const char* name : run_files)
      if (const auto file = fs::path(o.out) / name; fs::exists(file) && !fs::is_empty(file))
        throw tern::config_error("'" + o.out + "' is not a run, but it holds " + name +
                                 ": choose another --out");
    return;
  }
  if (is_grid(o.out))
    throw tern::config_error("'" + o.out + "' holds a grid: choose another --out");
  if (o.resume || o.fresh) return;
  const std::string held = "'" + o.out + "' holds a run ";
  if (o.command != "demo")
    throw tern::config_error(held + "already: continue it with --resume or choose another --out");
  if (tern::read_json(config) != to_json(s))
    throw tern::config_error(
        held + "with other settings: start over with --fresh or choose another --out");
}

/// Removes the files of a run where the directory holds one.
void remove_run(const fs::path& out) {
  if (!fs::exists(out / "config.json")) return;
  if (!fs::exists(out / "stages"))
    throw tern::config_error("--fresh: '" + out.string() + "' is not the directory of a run");
  for (const char* name : run_files) fs::remove_all(out / name);
}

/// --fresh must not remove what the run reads.
void require_outside(const fs::path& out, const settings& s) {
  const fs::path inside = fs::weakly_canonical(out);
  const auto check = [&](const std::string& path) {
    const fs::path full = fs::weakly_canonical(path);
    if (std::mismatch(inside.begin(), inside.end(), full.begin(), full.end()).first == inside.end())
      throw tern::config_error("--fresh would remove '" + path + "', which the run reads");
  };
  for (const tern::stage& each : s.recipe.stages)
    for (const auto& origin : {each.from, each.teacher})
      if (tern::is_model_path(origin)) check(origin);
  const tern::data_source& d = s.recipe.data;
  for (const auto& path : {d.directory, d.tokenizer})
    if (!path.empty()) check(path);
  for (const auto& path : d.corpus) check(path);
}

void finish(const tern::run_directory& directory, const settings& s,
            const std::vector<tern::result_row>& rows) {
  const std::string table = format_table(rows);
  directory.write_table(rows, table);
  const fs::path& at = directory.path();
  if (!rows.empty()) fmt::print("\n{}\ndeployed: {}\n", table, (at / "models").string());
  fmt::print("to train on: {}\n", directory.stage(s.recipe.stages.back().name).string());
}

/// The recipe of the run with what the options change, which rank 0 reads and sends to the others.
/// `o.model` becomes the model that the recipe names, where no option does.
tern::recipe_file recipe_of_ranks(options& o, tern::reducer& ranks) {
  tern::recipe_file file;
  if (ranks.ranks() == 1) return make_recipe_file(o);
  std::string text;
  together(ranks, [&] {
    if (ranks.rank() != 0) return;
    file = make_recipe_file(o);
    text = nlohmann::json{{"name", file.name}, {"file", file.json}, {"model", o.model}}.dump();
  });
  tern::broadcast_text(ranks, text);
  together(ranks, [&] {
    const auto sent = tern::parse_json(text, "rank 0");
    file = {sent.at("file"), sent.at("name").get<std::string>()};
    o.model = sent.at("model").get<std::string>();
  });
  return file;
}

void run_recipe(const options& o, const tern::recipe_file& file, tern::reducer& ranks) {
  const bool leads = ranks.rank() == 0;
  settings s;
  together(ranks, [&] {
    if (o.has("--parallel"))
      throw tern::config_error("--parallel applies only to a grid, which the recipe is not");
    s = make_settings(o, file);
    if (!leads) return;
    require_free(o, s);
    require_consistent(s);
    if (o.fresh) require_outside(o.out, s);
  });
  const auto config = to_json(s);
  std::optional<tern::thread_pool> pool;
  std::optional<run_input> input;
  std::optional<tern::run_directory> directory;
  together(ranks, [&] {
    pool.emplace(threads_of_rank(o.threads, ranks));
    input.emplace(read_input(s, *pool));
  });
  together(ranks, [&] {
    if (!leads) return;
    if (o.fresh) remove_run(o.out);
    directory.emplace(o.out, config);
    input->text.tokenizer->save(directory->path() / "tokenizer.json");
    print_header(s, pool->threads(), ranks.ranks());
    if (input->data.task.classifies()) fmt::print("  {}\n", label_text(input->data.task));
  });
  std::unique_ptr<tern::run_observer> show;
  if (leads)
    show = std::make_unique<session>(*directory, input->text);
  else
    show = std::make_unique<silent_observer>();
  catch_signals();
  try {
    tern::pipeline<> pipeline(s.recipe, input->data, *input->text.tokenizer,
                              directory ? &*directory : nullptr, *show, *pool, ranks);
    const auto rows = pipeline.run();
    together(ranks, [&] {
      if (!leads) return;
      finish(*directory, s, rows);
      if (o.command == "demo" && !o.no_speed)
        fmt::print("{}\n", speed_beside_f32(*pool, pool->threads()));
    });
  } catch (const tern::interrupted& e) {
    throw stopped(std::string(e.what()) + "; continue with: bitdistill " + o.command + " --out " +
                  o.out + (o.command == "demo" ? " (and the same options)" : " --resume"));
  }
}

/// Runs what the options say, a recipe or a grid, on all ranks.
void train_on(options o, tern::reducer& ranks) {
  const tern::recipe_file file = recipe_of_ranks(o, ranks);
  if (has_grid(file)) return run_grid(o, file, ranks);
  run_recipe(o, file, ranks);
}

}  // namespace

bool trains(const options& o) {
  for (const char* command : {"demo", "run", "pretrain", "finetune", "distill"})
    if (o.command == command) return true;
  return false;
}

void train(const options& o) {
  if (!o.print_recipe.empty()) return fmt::print("{}", recipe_text(o.print_recipe));
  if (o.out.empty()) throw tern::config_error("--out is required");
  run_on_ranks(o, [&](tern::reducer& ranks) { train_on(o, ranks); });
}

}  // namespace bitdistill
