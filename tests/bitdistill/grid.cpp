// Grids: equal stages are trained once, the number of stages at a time changes no bit, a grid that
// was stopped goes on, one point that fails does not lose the others, and the tables.
#include <algorithm>

#include "program.hpp"

using namespace tern_test;

namespace {

fs::path point(const fs::path& grid, const std::string& name) { return grid / "points" / name; }

std::size_t count_of(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + 1)) ++n;
  return n;
}

bool contains(const std::string& text, const std::string& what) {
  return text.find(what) != text.npos;
}

}  // namespace

TEST_CASE("a grid trains equal stages once, and each point is a whole run") {
  const scratch_dir scratch;
  const fs::path grid = scratch.path() / "grid";
  const auto made = run_bitdistill(tiny_grid(grid));
  INFO(made.err);
  REQUIRE(made.code == 0);
  CHECK(contains(made.out, "grid of 4 points with 10 different stages, 0 of them done before"));
  CHECK(count_of(made.out, ": done in ") == 10);
  for (const char* name :
       {"layer=-1,seed=1", "layer=-2,seed=1", "layer=-1,seed=2", "layer=-2,seed=2"}) {
    CAPTURE(name);
    const fs::path run = point(grid, name);
    for (const char* file : {"config.json", "table.json", "table.txt", "tokenizer.json",
                             "stages/base/model.safetensors", "stages/base/tokenizer.json",
                             "models/fp-sft/tokenizer.json", "models/bitdistill/result.json"})
      CHECK(fs::exists(run / file));
    const auto again = run_bitdistill({"run", "--resume", "--out", run.string()});
    CHECK(count_of(again.out, "done before") == 4);
    const std::string log = bytes_of(run / "metrics.jsonl");
    for (const char* stage : {"base", "fp-sft", "continual", "bitdistill"})
      CHECK(contains(log, std::string("{\"stage\":\"") + stage + "\",\"step\":"));
  }
  CHECK(bytes_of(point(grid, "layer=-1,seed=1") / "stages/base/model.safetensors") ==
        bytes_of(point(grid, "layer=-2,seed=1") / "stages/base/model.safetensors"));
}

TEST_CASE("a point of a grid has the bits of a run of its recipe") {
  const scratch_dir scratch;
  const fs::path grid = scratch.path() / "grid", alone = scratch.path() / "alone";
  REQUIRE(run_bitdistill(tiny_grid(grid)).code == 0);
  const fs::path run = point(grid, "layer=-2,seed=2");
  REQUIRE(run_bitdistill({"run", "--threads", "1", "--recipe", (run / "config.json").string(),
                          "--out", alone.string()})
              .code == 0);
  for (const char* stage : {"base", "fp-sft", "continual", "bitdistill"}) {
    CAPTURE(stage);
    const auto file = fs::path("stages") / stage / "model.safetensors";
    CHECK(bytes_of(run / file) == bytes_of(alone / file));
  }
}

TEST_CASE("the bits of a grid do not depend on the number of stages at a time") {
  const scratch_dir scratch;
  const fs::path one = scratch.path() / "one", four = scratch.path() / "four";
  REQUIRE(run_bitdistill(tiny_grid(one)).code == 0);
  const auto made = run_bitdistill(tiny_grid(four) + words{"--parallel", "4"});
  INFO(made.err);
  REQUIRE(made.code == 0);
  CHECK(contains(made.out, "4 at a time"));
  CHECK(differences(timeless_grid(four), timeless_grid(one)) == words{});
}

TEST_CASE("a grid that was killed or interrupted ends as one that was not") {
  const scratch_dir scratch;
  const fs::path whole = scratch.path() / "whole", broken = scratch.path() / "broken";
  const auto calls = disk_calls(scratch, whole, tiny_grid(whole));
  const auto expected = timeless_grid(whole);
  const auto [what, call, parallel] = GENERATE(table<const char*, const char*, const char*>({
      {"while a stage is trained", "pwrite points/layer=-1,seed=2/stages/base.state.tmp", "1"},
      {"while a stage is adopted", "points/layer=-2,seed=1/stages/base.part", "1"},
      {"while a stage is measured", "pwrite points/layer=-1,seed=2/models/fp-sft/result.json", "1"},
      {"while two stages are trained", "pwrite points/layer=-1,seed=2/stages/base.state.tmp", "2"},
  }));
  std::size_t n = 0;
  for (std::size_t i = 0; i < calls.size(); ++i)
    if (contains(calls[i], call)) n = i + 1;
  INFO(what);
  REQUIRE(n > 0);
  for (const char* fault : {"kill", "interrupt"}) {
    INFO(fault);
    fs::remove_all(broken);
    const words command = tiny_grid(broken) + words{"--parallel", parallel};
    const auto first = run_bitdistill(command, with_fault(fault + (":" + std::to_string(n))));
    REQUIRE(first.code == (*fault == 'k' ? -SIGKILL : 130));
    if (*fault == 'i') CHECK(contains(first.err, "--resume"));
    const auto second = run_bitdistill({"run", "--out", broken.string(), "--resume"});
    INFO(second.err);
    REQUIRE(second.code == 0);
    CHECK(differences(timeless_grid(broken), expected) == words{});
  }
}

TEST_CASE("more seeds of a grid train what is new") {
  const scratch_dir scratch;
  const fs::path grid = scratch.path() / "grid";
  REQUIRE(run_bitdistill(tiny_grid(grid, "[1]")).code == 0);
  const auto more = run_bitdistill(
      {"run", "--threads", "1", "--out", grid.string(), "--resume", "--set", "grid.seeds=[1, 5]"});
  INFO(more.err);
  REQUIRE(more.code == 0);
  CHECK(contains(more.out, "grid of 4 points with 10 different stages, 5 of them done before"));
  CHECK(count_of(more.out, ": done in ") == 5);
}

TEST_CASE("a changed variant of a grid trains its own stage anew") {
  const scratch_dir scratch;
  const fs::path grid = scratch.path() / "grid";
  REQUIRE(run_bitdistill(tiny_grid(grid, "[1]")).code == 0);
  const auto changed = run_bitdistill({"run", "--threads", "1", "--out", grid.string(), "--resume",
                                       "--set", "bitdistill.steps=10"});
  REQUIRE(changed.code == 0);
  CHECK(contains(changed.out, "'stage.steps' has changed since the stage was trained"));
  CHECK(count_of(changed.out, ": done in ") == 2);
}

TEST_CASE("a point of a grid that fails does not lose the others") {
  const scratch_dir scratch;
  const fs::path grid = scratch.path() / "grid";
  REQUIRE(run_bitdistill(tiny_grid(grid, "[1]")).code == 0);
  const fs::path bad = point(grid, "layer=-1,seed=7");
  fs::create_directories(bad / "metrics.jsonl" / "in the way");
  const words more{"run",         "--threads", "1",     "--out",
                   grid.string(), "--resume",  "--set", "grid.seeds=[1, 7, 8]"};
  const auto failed = run_bitdistill(more);
  CHECK(failed.code == 2);
  CHECK(contains(failed.err, "stage base of point layer=-1,seed=7: "));
  CHECK(contains(failed.err, "continue with: bitdistill run --out"));
  CHECK(fs::exists(point(grid, "layer=-1,seed=8") / "table.json"));
  CHECK_FALSE(fs::exists(bad / "table.json"));
  fs::remove_all(bad / "metrics.jsonl");
  REQUIRE(run_bitdistill({"run", "--out", grid.string(), "--resume"}).code == 0);
  CHECK(fs::exists(bad / "table.json"));
}

TEST_CASE("a grid is shown as a table, as a page and as comma-separated values") {
  const scratch_dir scratch;
  const fs::path grid = scratch.path() / "grid";
  const auto made = run_bitdistill(tiny_grid(grid));
  REQUIRE(made.code == 0);
  const std::string table = bytes_of(grid / "table.txt");
  CHECK(contains(made.out, table));
  CHECK(count_of(table, "FP-SFT") == 2);  // its row, and a heading
  CHECK(contains(table, "to layer=-1"));
  CHECK(contains(table, "BitDistill (layer=-2)"));
  const auto shown = run_bitdistill({"inspect", grid.string()});
  CHECK(contains(shown.out, "Tiny, grid, 4 of 4 points are finished"));
  CHECK(contains(shown.out, table));
  const auto csv = run_bitdistill({"inspect", "--csv", grid.string()});
  CHECK(csv.out == bytes_of(grid / "table.csv"));
  CHECK(csv.out.starts_with("layer,method,seeds,accuracy,accuracy_error,accuracy_to_first,"));
  CHECK(contains(csv.out, "\r\n,FP-SFT,2,"));
  CHECK(contains(csv.out, "\r\n-2,BitDistill,2,"));
  REQUIRE(run_bitdistill({"report", grid.string(), "--out", (scratch.path() / "r.html").string()})
              .code == 0);
  const std::string page = bytes_of(scratch.path() / "r.html");
  CHECK(contains(page, "to layer=-1"));
  CHECK(contains(page, "BitDistill (layer=-2)"));
  CHECK_FALSE(contains(page, "FP-SFT (layer"));
}

TEST_CASE("seeds alone make any recipe a grid") {
  const scratch_dir scratch;
  words command =
      tiny_demo(scratch.path() / "grid") + words{"grid.seeds=[3, 4]", "--task", "microworld"};
  command[0] = "run";
  std::erase(command, "--no-speed");
  const auto made = run_bitdistill(command);
  INFO(made.err);
  REQUIRE(made.code == 0);
  CHECK(contains(made.out, "grid of 2 points with 10 different stages"));
  CHECK(contains(made.out, "to FP-SFT"));
}

TEST_CASE("each shipped grid can be run") {
  const words tiny_model = tiny_settings() + words{"model.num_hidden_layers=3"},
              small_model = short_settings();
  const words distilled{"distillation.steps=2"}, continual{"continual.steps=2"};
  const words heads{"distillation.losses.relations.split_heads=2"};
  const words calibrated{"few_tokens.steps=2", "pretrained_finetuning.steps=2",
                         "calibration.edits.calibrate.tokens=256"};
  const words tuned{"finetuning.steps=2"};
  const words narrow{"stages.sequences=1", "stages.length=8"};  // grids of thousands of steps
  const auto [name, settings] = GENERATE_COPY(table<const char*, words>({
      {"grid-bitnet-sft", tiny_model + tuned + narrow},
      {"grid-continual", tiny_model + tuned + distilled + heads + narrow},
      {"grid-layers", tiny_model + tuned + distilled + continual + heads},
      {"grid-losses", tiny_model + tuned + distilled + continual + heads},
      {"grid-calibration", small_model + calibrated},  // groups need the width of the demo's model
      {"grid-quantizers", tiny_model + tuned + distilled + continual + heads},
      {"grid-scales", small_model + tuned + distilled + continual},
      {"grid-warmup", tiny_model + tuned + distilled + words{"continual.steps=4"} + heads},
      {"grid-subln", tiny_model + tuned + distilled + continual + heads},
  }));
  CAPTURE(name);
  const scratch_dir scratch;
  const auto made =
      run_bitdistill(words{"run", "--task", "microworld", "--recipe", name, "--out",
                           (scratch.path() / "grid").string(), "--threads", "1", "--set"} +
                     settings +
                     words{"pretraining.steps=3", "data.train_examples=32", "data.documents=200",
                           "data.dev_examples=16", "data.test_examples=48", "grid.seeds=[1]"});
  INFO(made.err);
  CHECK(made.code == 0);
}

TEST_CASE("what a grid cannot do is said in one line") {
  // "@" stands for a directory of the test, "@tiny NAME" for the arguments of a small grid there.
  const auto [what, arguments, message] = GENERATE(table<const char*, words, const char*>({
      {"a bad axis",
       {"run", "--recipe", "@/bad.json", "--out", "@/empty"},
       "bad.json: key 'grid.axes[0].key': expected a value, got nothing"},
      {"a variant that no point can have",
       {"@tiny empty", R"(grid.axes=[{"name": "n", "key": "x.y", "values": [1]}])"},
       "grid.json: axis 'n', variant '1': unknown key 'x'"},
      {"a value that is out of range",
       {"@tiny empty", R"(grid.axes=[{"name": "n", "key": "bitdistill.warmup", "values": [2]}])"},
       "point n=2,seed=1: stage bitdistill: warmup must lie between 0 and 1"},
      {"a setting that the grid varies",
       {"@tiny empty", "bitdistill.losses.relations.layer=0"},
       "--set bitdistill.losses.relations.layer=0: axis 'layer' of the grid sets this key"},
      {"a seed beside seeds",
       {"@tiny empty", "--seed", "4"},
       "--seed does not apply to a grid with seeds"},
      {"a run in a grid's directory",
       {"run", "--task", "microworld", "--out", "@/grid"},
       "holds a grid: choose another --out"},
      {"a grid in a run's directory", {"@tiny run"}, "holds a run, not a grid"},
      {"a grid again without --resume", {"@tiny grid"}, "continue it with --resume"},
      {"another command",
       {"demo", "--recipe", "grid-layers", "--out", "@/empty"},
       "this is a grid, which only the command run takes"},
      {"stages at a time without a grid",
       {"run", "--task", "microworld", "--parallel", "2", "--out", "@/empty"},
       "--parallel applies only to a grid"},
      {"more memory than there is",
       {"@tiny empty", "model.hidden_size=300000", "model.intermediate_size=300000"},
       "GB free, but --parallel 1 takes "},
      {"no stage at a time", {"@tiny empty", "--parallel", "0"}, "--parallel"},
      {"a report of two grids",
       {"report", "@/grid", "@/run", "--out", "@/r.html"},
       "is a grid, which is shown by itself"},
      {"watching a grid", {"watch", "@/grid"}, "is a grid: watch one of its points"},
  }));
  const scratch_dir scratch;
  const fs::path at = scratch.path();
  write_text(at / "grid" / "config.json",
             R"({"command": "run", "grid": {"seeds": [1]}, "stages": []})");
  write_text(at / "run" / "config.json", R"({"command": "run", "stages": []})");
  write_text(at / "bad.json",
             R"({"extends": "grid-layers", "grid": {"axes": [{"name": "layer", "values": []}]}})");
  words command;
  for (const std::string& word : arguments)
    if (word.starts_with("@tiny "))
      command = command + tiny_grid(at / word.substr(6));
    else
      command.push_back(word.starts_with("@") ? at.string() + word.substr(1) : word);
  INFO(what);
  const auto refused = run_bitdistill(command);
  INFO(refused.err);
  CHECK(refused.code == 2);
  CHECK(contains(refused.err, message));
  CHECK(lines_of(refused.err).size() == 1);
  CHECK_FALSE(fs::exists(at / "empty"));
}

TEST_CASE("curves are written as event files, one for each stage of each run") {
  const scratch_dir scratch;
  const fs::path run = scratch.path() / "run", events = scratch.path() / "events";
  write_text(run / "config.json", R"({"stages": [{"name": "base"}, {"name": "later"}]})");
  write_text(run / "metrics.jsonl",
             "{\"stage\": \"base\", \"step\": 20, \"loss\": 2.5, \"seconds\": 0.5}\n"
             "{\"stage\": \"base\", \"step\": 40, \"loss\": 1.25, \"seconds\": 1}\n{\"sta");
  const auto made = run_bitdistill({"inspect", "--tensorboard", events.string(), run.string()});
  INFO(made.err);
  REQUIRE(made.code == 0);
  CHECK(contains(made.out, "wrote 1 event files"));
  const std::string file = bytes_of(events / "run" / "base" / "events.out.tfevents.1.bitdistill");
  // The first record of every event file, as TensorFlow writes it for a wall time of 10 seconds.
  CHECK(
      file.starts_with(std::string("\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22\x09\0\0\0\0\0\0\x24\x40"
                                   "\x1a\x0d"
                                   "brain.Event:2",
                                   36)));
  CHECK(count_of(file, "loss") == 2);
}

TEST_CASE("the table of a run is printed as comma-separated values") {
  const scratch_dir scratch;
  const fs::path run = scratch.path() / "run";
  write_text(run / "config.json", R"({"stages": [{"name": "base"}]})");
  write_text(run / "table.json", R"([
      {"method": "FP-SFT", "accuracy": 97.125, "megabytes": 0.5, "tokens_per_second": 100},
      {"method": "a, \"b\"", "marks": {"SubLN": true}, "accuracy": 90, "megabytes": 0.25,
       "tokens_per_second": 1e6}])");
  const auto shown = run_bitdistill({"inspect", "--csv", run.string()});
  CHECK(shown.out ==
        "method,SubLN,accuracy,megabytes,tokens_per_second\r\n"
        "FP-SFT,,97.125,0.5,100\r\n"
        "\"a, \"\"b\"\"\",yes,90,0.25,1000000\r\n");
}
