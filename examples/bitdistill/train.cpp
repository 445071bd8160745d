// demo, run, pretrain, finetune, distill: the pipeline over the stages that the settings name.
#include <fmt/core.h>

#include <cstdio>

#include "commands.hpp"
#include "console.hpp"
#include "settings.hpp"
#include "stopped.hpp"
#include "table.hpp"
#include "tern/text/tokenizer_json.hpp"
#include "tern/train/pipeline.hpp"
#include "texts.hpp"

namespace bitdistill {
namespace {

namespace fs = std::filesystem;

/// Shows the run and puts the tokenizer beside every model it makes.
class session : public console {
 public:
  session(const tern::run_directory& directory, const tern::bpe_tokenizer& tokenizer)
      : directory_(directory), tokenizer_(tokenizer) {}

  void on_end(const tern::stage& s) override {
    add_tokenizer(directory_.stage(s.name));
    console::on_end(s);
  }
  void on_skip(const tern::stage& s) override {
    add_tokenizer(directory_.stage(s.name));
    console::on_skip(s);
  }
  void on_result(const tern::stage& s, const tern::result_row& row) override {
    add_tokenizer(directory_.model(s.name));
    console::on_result(s, row);
  }

 private:
  void add_tokenizer(const fs::path& folder) const {
    if (!fs::exists(folder / "tokenizer.json")) tokenizer_.save(folder / "tokenizer.json");
  }

  const tern::run_directory& directory_;
  const tern::bpe_tokenizer& tokenizer_;
};

/// Refuses before data are read what run_directory would refuse after.
void require_free(const options& o, const settings& s) {
  const auto config = fs::path(o.out) / "config.json";
  if (o.resume || o.fresh || !fs::exists(config)) return;
  const std::string held = "'" + o.out + "' holds a run ";
  if (o.command != "demo")
    throw tern::config_error(held + "already: continue it with --resume or choose another --out");
  if (tern::read_json(config) != to_json(s))
    throw tern::config_error(
        held + "with other settings: start over with --fresh or choose another --out");
}

/// Removes what a run writes, and only where there is a run.
void remove_run(const fs::path& out) {
  if (!fs::exists(out / "config.json")) return;
  if (!fs::exists(out / "stages"))
    throw tern::config_error("--fresh: '" + out.string() + "' is not the directory of a run");
  for (const char* name : {"table.txt", "table.json", "config.json", "metrics.jsonl",
                           "tokenizer.json", "stages", "models"})
    fs::remove_all(out / name);
}

/// The table of a run that is complete and has these settings.
bool print_finished(const fs::path& out, const settings& s,
                    const std::vector<tern::stage>& stages) {
  for (const auto* name : {"config.json", "table.json", "table.txt"})
    if (!fs::exists(out / name)) return false;
  for (const auto& each : stages)
    if (!fs::exists(out / "stages" / each.name / "config.json")) return false;
  if (tern::read_json(out / "config.json") != to_json(s)) return false;
  fmt::print("{} holds this run, finished:\n\n{}", out.string(),
             tern::read_text(out / "table.txt"));
  return true;
}

void finish(const tern::run_directory& directory, const std::vector<tern::stage>& stages,
            const std::vector<tern::result_row>& rows) {
  const std::string table = format_table(rows);
  directory.write_table(rows, table);
  const fs::path& at = directory.path();
  if (!rows.empty()) fmt::print("\n{}\ndeployed: {}\n", table, (at / "models").string());
  fmt::print("to train on: {}\n", directory.stage(stages.back().name).string());
}

struct prepared {
  tern::bpe_tokenizer tokenizer;
  tern::task_data data;
};

/// Reads and tokenises everything, which tells whether it fits together; writes nothing.
prepared prepare(const options& o, settings& s, needs what, tern::executor_ref ex) {
  const auto texts = load_texts(s, what);
  const fs::path saved = o.fresh ? "" : fs::path(o.out) / "tokenizer.json";
  auto tokenizer = make_tokenizer(s, texts, saved);
  if (s.data.model.empty()) s.run.model.vocab_size = tokenizer.vocab_size();
  if (s.run.model.vocab_size < tokenizer.vocab_size())
    throw tern::config_error("the tokenizer has " + std::to_string(tokenizer.vocab_size()) +
                             " tokens, the model " + std::to_string(s.run.model.vocab_size));
  auto data = tern::tokenize_task(texts, tokenizer, s.data.prompt_tokens, ex);
  return {std::move(tokenizer), std::move(data)};
}

}  // namespace

void train(const options& o) {
  settings s = make_settings(o);
  require_free(o, s);
  require_consistent(s);
  const auto stages = stages_of(s);
  if (!o.fresh && print_finished(o.out, s, stages)) return;
  const auto config = to_json(s);
  tern::thread_pool pool(o.threads);
  const prepared input = prepare(o, s, needs_of(stages), pool);
  if (o.fresh) remove_run(o.out);
  const bool resume = o.resume || o.command == "demo";
  tern::run_directory directory(o.out, config,
                                resume ? tern::run_mode::resume : tern::run_mode::create);
  input.tokenizer.save(directory.path() / "tokenizer.json");
  print_header(s, stages, pool.threads());
  session show(directory, input.tokenizer);
  catch_signals();
  try {
    tern::pipeline<> pipeline(s.run, input.data, directory, show, s.data.model, pool);
    finish(directory, stages, pipeline.run(stages));
  } catch (const tern::interrupted& e) {
    throw stopped(std::string(e.what()) + "; continue with: bitdistill " + o.command + " --out " +
                  o.out + (o.command == "demo" ? " (and the same options)" : " --resume"));
  }
}

}  // namespace bitdistill
