// Fingerprints of stages: what changes them, and what does not.
#include "tern/recipe/fingerprint.hpp"

#include <fstream>
#include <string>
#include <vector>

#include "tests/support.hpp"

using namespace tern;

namespace {

/// A recipe and its data. Stage "base" learns from the corpus; stage "tuned" starts from it and
/// learns from the first two of three examples.
struct two_stage_run {
  recipe r;
  task_data data;

  two_stage_run() {
    r.stages.resize(2);
    r.stages[0].name = "base";
    r.stages[0].data = stage_data::corpus;
    r.stages[1].name = "tuned";
    r.stages[1].from = "base";
    r.stages[1].examples = 2;
    for (stage& s : r.stages) {
      s.losses = loss_options::with(cross_entropy_options{});
      s.optimizer.rules = {adamw_options{}, {}};
      s.steps = 3;
    }
    data.stream = {1, 2, 3, 0};
    data.train.examples = {{{0, 1, 2}, 2, 0}, {{0, 3, 2}, 2, 0}, {{0, 4, 2}, 2, 0}};
    data.dev = data.train;
  }
  [[nodiscard]] nlohmann::json tuned() const { return stage_fingerprints(r, data).at("tuned"); }
};

/// Writes a model's folder of three files.
void write_folder(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "config.json") << "{}";
  std::ofstream(folder / "model.safetensors") << "weights";
  std::ofstream(folder / "tokenizer.json") << "{}";
}

}  // namespace

TEST_CASE("the fingerprint of a stage changes with all that its weights depend on") {
  struct row {
    const char* name;
    void (*change)(two_stage_run&);
    const char* difference;  // of the fingerprint of "tuned"; empty: none
  };
  const auto c = GENERATE(values<row>({
      {"steps", [](two_stage_run& x) { x.r.stages[1].steps = 4; }, "stage.steps"},
      {"seed", [](two_stage_run& x) { x.r.stages[1].seed = 4; }, "stage.seed"},
      {"the least length of an example", [](two_stage_run& x) { x.r.stages[1].min_tokens = 2; },
       "stage.min_tokens"},
      {"precision", [](two_stage_run& x) { x.r.stages[1].products = precision::bf16; },
       "stage.precision"},
      {"an edit", [](two_stage_run& x) { x.r.stages[1].edits.make_ternary = true; },
       "stage.edits.make_ternary"},
      {"an option of the optimizer",
       [](two_stage_run& x) { std::get<0>(x.r.stages[1].optimizer.rules)->beta1 = 0.5; },
       "stage.optimizer.adamw.beta1"},
      {"eight-bit moments",
       [](two_stage_run& x) {
         std::get<0>(x.r.stages[1].optimizer.rules)->moments = moment_format::int8;
       },
       "stage.optimizer.adamw.moments"},
      {"a weight of a loss",
       [](two_stage_run& x) { std::get<0>(x.r.stages[1].losses.terms)->weight = 2; },
       "stage.losses.cross_entropy.weight"},
      {"steps of the stage before", [](two_stage_run& x) { x.r.stages[0].steps = 4; },
       "from.stage.steps"},
      {"a stage to start from", [](two_stage_run& x) { x.r.stages[1].from = "new"; }, "from.data"},
      {"a teacher", [](two_stage_run& x) { x.r.stages[1].teacher = "base"; }, "teacher"},
      {"architecture", [](two_stage_run& x) { x.r.model.head_dim = 4; }, "from.from.new.head_dim"},
      {"vocabulary", [](two_stage_run& x) { x.r.model.vocab_size = 4; }, "from.from.vocab_size"},
      {"a token of the corpus", [](two_stage_run& x) { x.data.stream[1] = 9; }, "from.data"},
      {"the separator", [](two_stage_run& x) { x.data.separator = 9; }, "from.data"},
      {"a token of an example", [](two_stage_run& x) { x.data.train.examples[1].tokens[1] = 9; },
       "data"},
      {"where an answer begins", [](two_stage_run& x) { x.data.train.examples[1].answer = 1; },
       "data"},
      {"an example that is not learned from",
       [](two_stage_run& x) { x.data.train.examples[2].tokens[1] = 9; }, ""},
      {"an example of dev", [](two_stage_run& x) { x.data.dev.examples[0].tokens[1] = 9; }, ""},
      {"the length of generated answers", [](two_stage_run& x) { x.data.answer_tokens = 9; }, ""},
      {"the title", [](two_stage_run& x) { x.r.title = "other"; }, ""},
      {"the template", [](two_stage_run& x) { x.r.stages[1].like = "other"; }, ""},
      {"the name", [](two_stage_run& x) { x.r.stages[0].name = x.r.stages[1].from = "other"; }, ""},
      {"the row", [](two_stage_run& x) { x.r.stages[1].row = "other"; }, ""},
      {"marks of the row",
       [](two_stage_run& x) {
         x.r.stages[1].marks = {{"SubLN", true}};
       },
       ""},
      {"steps between log lines", [](two_stage_run& x) { x.r.stages[1].log_every = 9; }, ""},
      {"steps between saved states", [](two_stage_run& x) { x.r.stages[1].save_every = 9; }, ""},
  }));
  INFO(c.name);
  const two_stage_run before;
  two_stage_run after;
  c.change(after);
  const std::string difference = first_difference(before.tuned(), after.tuned());
  CHECK(difference.empty() == std::string(c.difference).empty());
  CHECK(difference.find(c.difference) == 0);
}

TEST_CASE("the fingerprint has the checksum of a model on disk: weights and configuration") {
  const auto [file, changes] = GENERATE(table<std::string, bool>(
      {{"model.safetensors", true}, {"config.json", true}, {"tokenizer.json", false}}));
  INFO(file);
  const tern_test::scratch_dir scratch;
  const auto folder = scratch.path() / "model";
  write_folder(folder);
  two_stage_run x;
  x.r.stages[1].from = folder.string();
  const nlohmann::json before = x.tuned();
  std::ofstream(folder / file) << "changed";
  CHECK(first_difference(before, x.tuned()) == (changes ? "from.checksum" : ""));
}

TEST_CASE("a model that is not there has no fingerprint") {
  two_stage_run x;
  x.r.stages[1].from = "./there/is/no/model";
  CHECK_THROWS_AS(x.tuned(), io_error);
}

TEST_CASE("a fingerprint is equal to itself after it was written and read") {
  const nlohmann::json made = two_stage_run().tuned();
  CHECK(first_difference(nlohmann::json::parse(made.dump(2)), made).empty());
}

TEST_CASE("fields that came later are no part of a fingerprint while they change nothing") {
  const nlohmann::json text = two_stage_run().tuned().at("stage");
  CHECK(!text.contains("parts"));
  CHECK(text.at("optimizer").at("adamw").contains("beta1"));
  CHECK(!text.at("optimizer").at("adamw").contains("moments"));
}
