// A run that is killed or interrupted at any moment and then continued ends with the same weights,
// table and log as a run that was not. The moments are the calls that change the disk, since
// nothing that happens between two such calls leaves a trace.
#include "program.hpp"

using namespace tern_test;

namespace {

struct broken_run {
  fs::path path;
  words arguments;

  /// Breaks the run at call `n`, checks how the process ended, and continues to the end.
  void check(std::size_t n, const std::string& call, const std::string& fault, int code,
             const std::map<std::string, std::string>& expected) const {
    fs::remove_all(path);
    const auto first = run_bitdistill(arguments, with_fault(fault + ":" + std::to_string(n)));
    INFO(fault << " at call " << n << ", " << call << "; " << first.err);
    REQUIRE(first.code == code);
    const auto second =
        run_bitdistill(arguments + words{"--resume"}, with_fault("list:/dev/null"));  // no fsync
    INFO(second.err);
    REQUIRE(second.code == 0);
    CHECK(differences(timeless(path), expected) == words{});
  }
};

words tiny_run(const fs::path& run) {
  words arguments = tiny_demo(run) + words{"--task", "microworld"};
  arguments[0] = "run";
  std::erase(arguments, "--no-speed");
  return arguments;
}

/// The first call of each series of equal calls, and one in the middle of the long series.
std::vector<std::size_t> moments(const words& calls) {
  std::vector<std::size_t> list;
  for (std::size_t begin = 0, end = 0; begin < calls.size(); begin = end) {
    while (end < calls.size() && calls[end] == calls[begin]) ++end;
    list.push_back(begin + 1);
    if (end - begin > 9) list.push_back((begin + end) / 2);
  }
  return list;
}

}  // namespace

TEST_CASE("one stage survives SIGKILL at every call") {
  const scratch_dir scratch;
  const fs::path whole = scratch.path() / "whole";
  write_text(scratch.path() / "corpus.txt", small_corpus());
  words arguments = words{"pretrain", "--out", whole.string(), "--corpus",
                          (scratch.path() / "corpus.txt").string()} +
                    tiny() + words{"base.steps=12", "data.vocab_size=400"};
  const auto calls = disk_calls(scratch, whole, arguments);
  const auto expected = timeless(whole);
  CHECK(expected.contains("stages/base/model.safetensors"));
  arguments[2] = (scratch.path() / "broken").string();
  for (const std::size_t n : moments(calls))
    broken_run{arguments[2], arguments}.check(n, calls[n - 1], "kill", -SIGKILL, expected);
}

TEST_CASE("all stages survive SIGKILL") {
  const scratch_dir scratch;
  const fs::path whole = scratch.path() / "whole";
  const auto calls = disk_calls(scratch, whole, tiny_run(whole));
  const auto expected = timeless(whole);
  CHECK(expected.contains("models/bitdistill/model.safetensors"));
  const broken_run broken{scratch.path() / "broken", tiny_run(scratch.path() / "broken")};
  const auto check = [&](std::size_t n) {
    broken.check(n, calls[n - 1], "kill", -SIGKILL, expected);
  };
  SECTION("while a stage logs") { check(find_call(calls, "metrics.jsonl", calls.size() / 3)); }
  SECTION("while a checkpoint is written") {
    check(find_call(calls, "pwrite stages/bitdistill.state.tmp"));
    check(find_call(calls, "rename stages/bitdistill.state"));
  }
  SECTION("right behind a checkpoint") {
    check(find_call(calls, "rename stages/bitdistill.state") + 1);
  }
  SECTION("between two stages") {
    check(find_call(calls, "rename stages/continual/config.json"));
    check(find_call(calls, "rename stages/continual/config.json") + 1);
    check(find_call(calls, "mkdir models/fp-sft"));
    check(find_call(calls, "rename models/fp-sft/model.safetensors"));
  }
  SECTION("while the table is written") { check(find_call(calls, "rename table.json")); }
  SECTION("at moments spread over the run") {
    const auto list = moments(calls);
    for (std::size_t i = 5; i < list.size(); i += 17) check(list[i]);
  }
}

TEST_CASE("a run survives one SIGKILL after another") {
  const scratch_dir scratch;
  const fs::path whole = scratch.path() / "whole", broken = scratch.path() / "broken";
  const auto often =
      "kill:" + std::to_string(disk_calls(scratch, whole, tiny_run(whole)).size() / 5);
  int code = -SIGKILL, kills = 0;
  for (; code == -SIGKILL && kills < 50; ++kills)
    code = run_bitdistill(tiny_run(broken) + words{"--resume"}, with_fault(often)).code;
  CHECK(code == 0);
  CHECK(kills > 3);
  CHECK(differences(timeless(broken), timeless(whole)) == words{});
}

TEST_CASE("SIGINT saves the state and ends with 130") {
  const scratch_dir scratch;
  const fs::path whole = scratch.path() / "whole", broken = scratch.path() / "broken";
  const auto calls = disk_calls(scratch, whole, tiny_run(whole));
  const auto expected = timeless(whole);
  const broken_run run{broken, tiny_run(broken)};
  for (const char* call : {"metrics.jsonl", "rename stages/continual.state",
                           "rename stages/bitnet-sft/model.safetensors"}) {
    const auto n = find_call(calls, call, calls.size() / 3);
    run.check(n, calls[n - 1], "interrupt", 130, expected);
  }
  fs::remove_all(broken);
  const auto n = find_call(calls, "write metrics.jsonl");  // of step 1, before any checkpoint
  const auto stopped =
      run_bitdistill(tiny_run(broken), with_fault("interrupt:" + std::to_string(n)));
  CHECK(stopped.code == 130);
  CHECK(lines_of(stopped.err).size() == 1);
  CHECK(stopped.err.find("bitdistill: stopped at step 1 of stage base") == 0);
  CHECK(stopped.err.find("--resume") != std::string::npos);
  const auto resumed = run_bitdistill(tiny_run(broken) + words{"--resume"});
  CHECK(resumed.out.find("continued at step 1") != std::string::npos);
  CHECK(differences(timeless(broken), expected) == words{});
}

TEST_CASE("a finished run is continued without a change") {
  const scratch_dir scratch;
  const fs::path run = scratch.path() / "run";
  REQUIRE(run_bitdistill(tiny_run(run)).code == 0);
  const auto before = tree(run);
  const auto again = run_bitdistill({"run", "--out", run.string(), "--resume"});
  CHECK(again.code == 0);
  CHECK(tree(run) == before);
}

TEST_CASE("a row that is added to a finished run trains alone, and survives SIGKILL") {
  const scratch_dir scratch;
  const fs::path finished = scratch.path() / "finished", recipe = scratch.path() / "more.json";
  REQUIRE(run_bitdistill(tiny_run(finished)).code == 0);
  auto config = tern::read_json(finished / "config.json");
  auto row = config.at("stages").at(2);  // BitNet-SFT
  row["name"] = "more-steps";
  row["row"] = "BitNet-SFT, more steps";
  row["steps"] = 9;
  config["stages"].push_back(row);
  write_text(recipe, config.dump());

  const auto more = [&](const fs::path& run, const words& environment = {}) {
    return run_bitdistill(
        {"run", "--out", run.string(), "--resume", "--recipe", recipe.string(), "--threads", "1"},
        environment);
  };
  const fs::path whole = scratch.path() / "whole", broken = scratch.path() / "broken";
  fs::copy(finished, whole, fs::copy_options::recursive);
  const auto list = scratch.path() / "calls";
  const auto result = more(whole, with_fault("list:" + list.string()));
  INFO(result.err);
  REQUIRE(result.code == 0);
  for (const char* name : {"base", "fp-sft", "bitnet-sft", "continual", "bitdistill"})
    CHECK(result.out.find(std::string(name) + ": done before") != std::string::npos);
  CHECK(result.out.find("more-steps: done in") != std::string::npos);
  CHECK(tern::read_json(whole / "table.json").size() == 4);

  const auto calls = lines_of(bytes_of(list)).size();
  for (std::size_t n = 1; n <= calls; n += calls / 6) {
    INFO("killed at call " << n);
    fs::remove_all(broken);
    fs::copy(finished, broken, fs::copy_options::recursive);
    REQUIRE(more(broken, with_fault("kill:" + std::to_string(n))).code == -SIGKILL);
    REQUIRE(more(broken, with_fault("list:/dev/null")).code == 0);
    CHECK(differences(timeless(broken), timeless(whole)) == words{});
  }
}

TEST_CASE("a finished run whose training file has changed trains the stages that learn from it") {
  const scratch_dir scratch;
  const review_files files(scratch.path());
  const auto run = scratch.path() / "run";
  REQUIRE(run_bitdistill(files.run(run)).code == 0);
  write_text(files.train(), "sentence\tlabel\na good movie\t1\na bad movie\t0\n");
  const auto again = run_bitdistill({"run", "--out", run.string(), "--resume"});
  INFO(again.err);
  CHECK(again.code == 0);
  CHECK(again.out.find("base: done before") != std::string::npos);
  CHECK(again.out.find("fp-sft: 'data' has changed") != std::string::npos);
}

TEST_CASE("--set wins over --seed, and --seed over the recipe") {
  const scratch_dir scratch;
  const auto run = scratch.path() / "run";
  REQUIRE(run_bitdistill(tiny_demo(run) + words{"base.seed=5", "--seed", "3"}).code == 0);
  const auto config = tern::read_json(run / "config.json");
  CHECK(config.at("data").at("seed") == 3);
  CHECK(config.at("stages")[0].at("seed") == 5);
  CHECK(config.at("stages")[1].at("seed") == 3);
}

TEST_CASE("one to three threads give the same bits") {
  const scratch_dir scratch;
  std::map<std::string, std::string> one;
  for (const char* threads : {"1", "2", "3"}) {
    const fs::path run = scratch.path() / threads;
    auto arguments = tiny_run(run);
    *(std::ranges::find(arguments, "--threads") + 1) = threads;
    for (const char* wider :
         {"model.hidden_size=64", "model.intermediate_size=192", "model.head_dim=32",
          "distillation.sequences=32", "base.sequences=32"})
      arguments.insert(arguments.end() - 2, wider);
    const auto result = run_bitdistill(arguments);
    INFO(result.err);
    REQUIRE(result.code == 0);
    CHECK(result.out.find(std::string("threads ") + threads) != std::string::npos);
    if (one.empty()) one = timeless(run);
    CHECK(differences(timeless(run), one) == words{});
  }
}
