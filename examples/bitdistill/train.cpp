// The commands demo, run, pretrain, finetune and distill: each runs the stages of a recipe.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <span>
#include <utility>

#include "commands.hpp"
#include "console.hpp"
#include "format.hpp"
#include "known_shape.hpp"
#include "recipes.hpp"
#include "settings.hpp"
#include "signals.hpp"
#include "stopped.hpp"
#include "table.hpp"
#include "tern/checkpoint/save_model_text.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/recipe/pipeline.hpp"
#include "texts.hpp"

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
    add_text(directory_.stage(s.name));
    console::on_end(s);
  }
  void on_skip(const tern::stage& s) override {
    add_text(directory_.stage(s.name));
    console::on_skip(s);
  }
  void on_result(const tern::stage& s, const tern::result_row& row) override {
    add_text(directory_.model(s.name));
    console::on_result(s, row);
  }

 private:
  /// Completes a folder. One that is complete stays as it is, since other runs may start from it
  /// and know it by its checksum.
  void add_text(const fs::path& folder) const {
    if (!fs::exists(folder / "tokenizer.json")) tern::save_model_text(text_, folder);
  }

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

/// The input of a run, read and checked.
struct prepared {
  tern::model_text text;
  tern::task_data data;
};

/// Refuses tokens for which the model has no row.
void require_rows(const tern::bpe_tokenizer& tokenizer, std::span<const std::int32_t> tokens,
                  std::size_t rows) {
  for (const std::int32_t token : tokens)
    if (static_cast<std::size_t>(token) >= rows)
      throw tern::config_error(
          fmt::format("the data use the token \"{}\" with the id {}, and the "
                      "model has {} tokens",
                      tokenizer.token_text(token), token, rows));
}

/// Refuses at once what a later stage would refuse only when its turn comes.
void require_usable(const settings& s, const tern::bpe_tokenizer& tokenizer,
                    const tern::task_data& data) {
  const std::size_t rows = s.recipe.model.vocab_size;
  require_rows(tokenizer, data.stream, rows);
  for (const auto* part : {&data.train, &data.dev, &data.test})
    for (const auto& example : part->examples) require_rows(tokenizer, example.tokens, rows);
  for (const auto& example : data.unlabelled) require_rows(tokenizer, example.tokens, rows);
  for (const tern::stage& each : s.recipe.stages) {
    if (tern::is_model_path(each.teacher)) require_same_vocabulary(each.teacher, tokenizer);
    for (const auto& origin : {each.from, each.teacher})
      if (tern::is_model_path(origin)) static_cast<void>(tern::load_model<>(origin));
    if (each.data == tern::stage_data::corpus)
      static_cast<void>(tern::token_windows(data.stream, each.length, each.seed));
  }
  const std::size_t most = s.recipe.model.max_position_embeddings + 1;  // the last is not read
  for (const auto& [name, part] :
       {std::pair("training", &data.train), {"dev", &data.dev}, {"test", &data.test}})
    for (std::size_t i = 0; i < part->examples.size(); ++i)
      if (const std::size_t tokens = part->examples[i].tokens.size(); tokens > most)
        throw tern::config_error(fmt::format(
            "{} example {} has {} tokens with its answer, but the model reads {}: lower "
            "data.prompt_tokens, since answers are not cut",
            name, i + 1, tokens, most - 1));
}

/// Reads and tokenizes all data, and checks that they fit to the recipe. Nothing is written.
prepared prepare(settings& s, tern::executor_ref ex) {
  const auto texts = load_texts(s.recipe);
  auto text = make_text(s, texts);
  if (s.model.empty()) s.recipe.model.vocab_size = text.tokenizer->vocab_size();
  auto data = tern::tokenize_task(texts, *text.tokenizer, s.recipe.data, ex, text.conventions);
  require_usable(s, *text.tokenizer, data);
  return {std::move(text), std::move(data)};
}

}  // namespace

void train(const options& o) {
  if (!o.print_recipe.empty()) return fmt::print("{}", recipe_text(o.print_recipe));
  if (o.out.empty()) throw tern::config_error("--out is required");
  settings s = make_settings(o);
  require_free(o, s);
  require_consistent(s);
  if (o.fresh) require_outside(o.out, s);
  const auto config = to_json(s);
  tern::thread_pool pool(o.threads);
  const prepared input = prepare(s, pool);
  if (o.fresh) remove_run(o.out);
  tern::run_directory directory(o.out, config);
  input.text.tokenizer->save(directory.path() / "tokenizer.json");
  print_header(s, pool.threads());
  if (input.data.task.classifies()) fmt::print("  {}\n", label_text(input.data.task));
  session show(directory, input.text);
  catch_signals();
  try {
    tern::pipeline<> pipeline(s.recipe, input.data, *input.text.tokenizer, directory, show, pool);
    finish(directory, s, pipeline.run());
    if (o.command == "demo" && !o.no_speed)
      fmt::print("{}\n", speed_beside_f32(pool, pool.threads()));
  } catch (const tern::interrupted& e) {
    throw stopped(std::string(e.what()) + "; continue with: bitdistill " + o.command + " --out " +
                  o.out + (o.command == "demo" ? " (and the same options)" : " --resume"));
  }
}

}  // namespace bitdistill
