// Runs of several ranks, which mpirun starts: they write the files of one process bit for bit, go
// on with another number of ranks, and end everywhere where one rank fails.
#include <chrono>
#include <cstdint>
#include <cstring>
#include <optional>
#include <random>

#include "program.hpp"
#include "tern/core/random.hpp"

using namespace tern_test;

namespace {

/// Whether there is a launcher; says why a test does nothing where there is none.
bool can_launch() {
  if (*BITDISTILL_MPIEXEC != '\0') return true;
  WARN("skipped: MPI (package libopenmpi-dev) is missing");
  return false;
}

/// Words that start the program through env, which sets variables or goes to another directory.
words with_env(const words& changes, const words& arguments,
               const std::string& program = BITDISTILL_PROGRAM) {
  return words{"env"} + changes + words{program} + arguments;
}

words faulty(const std::string& fault, const fs::path& below, const words& arguments) {
  return with_env(with_fault(fault) + words{"TERN_FAULT_BELOW=" + below.string()}, arguments);
}

/// Runs the launcher, or another program that does. The variables let Open MPI run as root, with
/// more ranks than processors, without a way between processes that containers often forbid, and
/// have it ask silent hosts for a sign of life.
outcome launch(const words& arguments, const char* program = BITDISTILL_MPIEXEC) {
  return run_bitdistill(
      arguments,
      {"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
       "OMPI_MCA_rmaps_base_oversubscribe=1",
       "PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe",
       "OMPI_MCA_btl_vader_single_copy_mechanism=none", "OMPI_MCA_oob_tcp_keepalive_time=2",
       "OMPI_MCA_oob_tcp_keepalive_intvl=1", "OMPI_MCA_oob_tcp_keepalive_probes=3"},
      {}, nullptr, nullptr, program);
}

outcome run_ranks(std::size_t n, const words& arguments) {
  return launch(words{"-n", std::to_string(n), BITDISTILL_PROGRAM} + arguments);
}

/// One rank on each of two hosts that a link joins, with the options of slow_link.py; nothing where
/// this machine cannot have such hosts.
std::optional<outcome> run_hosts(const words& link, const words& arguments) {
  if (!can_launch()) return {};
  const outcome ran =
      launch(link + words{BITDISTILL_MPIEXEC, "-n", "2", BITDISTILL_PROGRAM} + arguments,
             BITDISTILL_SLOW_LINK);
  if (ran.code != 77 && ran.code != 127) return ran;
  WARN("skipped: two hosts on one machine need Open MPI, Python, root, /dev/net/tun and iproute2");
  return {};
}

/// Ranks, each of which has a command of its own.
outcome run_each(const std::vector<words>& ranks) {
  words all;
  for (const words& rank : ranks) {
    if (!all.empty()) all.emplace_back(":");
    all = all + words{"-n", "1"} + rank;
  }
  return launch(all);
}

outcome run_two(const words& rank_0, const words& rank_1) { return run_each({rank_0, rank_1}); }

/// Bytes of the gradients of the first stage, which are those of its weights without the header.
std::size_t gradient_bytes(const fs::path& run) {
  const std::string file = bytes_of(run / "stages" / "base" / "model.safetensors");
  std::uint64_t header = 0;
  std::memcpy(&header, file.data(), sizeof header);
  return file.size() - sizeof header - header;
}

/// How often a text occurs.
std::size_t times_in(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++n;
  return n;
}

/// A stage of 200 steps in four parts, with a state behind every twentieth step.
words long_stage(const fs::path& run, const std::string& corpus) {
  return words{"pretrain", "--out", run.string(), "--corpus", corpus} + tiny() +
         words{"base.steps=200", "data.vocab_size=400", "base.parts=4", "base.save_every=20",
               "base.optimizer.adamw.moments=int8"};
}

}  // namespace

TEST_CASE("any number of ranks writes the files of one process") {
  if (!can_launch()) return;
  const scratch_dir scratch;
  const auto arguments = [&](const std::string& name) {
    return tiny_demo(scratch.path() / name) + words{"stages.parts=4",
                                                    "bitdistill.losses.balance=true",
                                                    "bitdistill.losses.relations.layer=auto"};
  };
  REQUIRE(run_bitdistill(arguments("alone")).code == 0);
  const auto expected = timeless(scratch.path() / "alone");
  CHECK(expected.contains("models/bitdistill/model.safetensors"));
  for (const std::size_t ranks : {2u, 4u}) {
    const std::string name = std::to_string(ranks) + " ranks";
    const auto ran = run_ranks(ranks, arguments(name));
    INFO(name << ran.err);
    REQUIRE(ran.code == 0);
    CHECK(differences(timeless(scratch.path() / name), expected) == words{});
    // Rank 0 sends its gradients of all rows that others own to these, and the new values of its
    // own rows to each of the others; and a little about losses and norms. Few rows of this model
    // can be dealt, so a rank owns up to half of them.
    const auto line = tern::parse_json(
        lines_of(bytes_of(scratch.path() / name / "metrics.jsonl")).front(), "metrics.jsonl");
    const std::size_t gradients = gradient_bytes(scratch.path() / name);
    CHECK(line.at("sent") > gradients);
    CHECK(line.at("sent") < gradients * ranks / 2 + 8192);
  }
}

TEST_CASE("two hosts that a slow and lossy link joins write the files of one process") {
  const scratch_dir scratch;
  const auto arguments = [&](const char* name) {
    return tiny_demo(scratch.path() / name) + words{"stages.parts=2"};
  };
  const auto ran = run_hosts({"--delay", "1", "--loss", "0.01"}, arguments("hosts"));
  if (!ran) return;
  INFO(ran->err);
  REQUIRE(ran->code == 0);
  const auto line = tern::parse_json(
      lines_of(bytes_of(scratch.path() / "hosts" / "metrics.jsonl")).front(), "metrics.jsonl");
  CHECK(line.at("sent") > 0);
  REQUIRE(run_bitdistill(arguments("alone")).code == 0);
  CHECK(differences(timeless(scratch.path() / "hosts"), timeless(scratch.path() / "alone")) ==
        words{});
}

TEST_CASE("a run whose second host is gone ends, and goes on without it") {
  const scratch_dir scratch;
  const std::string corpus = (scratch.path() / "corpus.txt").string();
  write_text(corpus, small_corpus());
  const fs::path run = scratch.path() / "broken", whole = scratch.path() / "whole";
  const auto start = std::chrono::steady_clock::now();
  const auto ran = run_hosts({"--delay", "20", "--cut", "5"}, long_stage(run, corpus));
  if (!ran) return;
  INFO(ran->err);
  CHECK(ran->code != 0);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::minutes(1));
  CHECK(ran->err.find("lost communication") != std::string::npos);
  CHECK(ran->err.find("10.123.45.2") != std::string::npos);
  REQUIRE(run_bitdistill(long_stage(run, corpus) + words{"--resume"}).code == 0);
  REQUIRE(run_bitdistill(long_stage(whole, corpus)).code == 0);
  CHECK(differences(timeless(run), timeless(whole)) == words{});
}

TEST_CASE("ranks share the stages of a grid") {
  if (!can_launch()) return;
  const scratch_dir scratch;
  const auto arguments = [&](const char* name) {
    return tiny_grid(scratch.path() / name) + words{"stages.parts=2"};
  };
  REQUIRE(run_bitdistill(arguments("alone")).code == 0);
  const auto expected = timeless_grid(scratch.path() / "alone");
  const auto ran = run_ranks(2, arguments("ranks"));
  INFO(ran.err);
  REQUIRE(ran.code == 0);
  CHECK(times_in(ran.out, ": done in ") == 10);
  CHECK(differences(timeless_grid(scratch.path() / "ranks"), expected) == words{});
  CHECK(fs::exists(scratch.path() / "ranks" / "table.csv"));

  // A point that is missing is trained, and takes what it shares with another one from there.
  const fs::path point = scratch.path() / "alone" / "points" / "layer=-1,seed=1";
  fs::remove_all(point);
  const auto resumed = run_ranks(3, arguments("alone") + words{"--resume"});
  INFO(resumed.err);
  REQUIRE(resumed.code == 0);
  CHECK(times_in(resumed.out, ": done in ") == 1);
  CHECK(differences(timeless_grid(scratch.path() / "alone"), expected) == words{});

  const auto refused = run_ranks(2, arguments("parallel") + words{"--parallel", "2"});
  CHECK(refused.code == 2);
  CHECK(times_in(refused.err, "--parallel applies to one process") == 1);
}

TEST_CASE("ranks share calibration") {
  if (!can_launch()) return;
  const scratch_dir scratch;
  const auto arguments = [&](const char* name) {
    return words{"run",
                 "--recipe",
                 "few-tokens",
                 "--task",
                 "microworld",
                 "--out",
                 (scratch.path() / name).string()} +
           tiny() +
           words{"base.steps=12",
                 "fp-sft.steps=6",
                 "few-tokens.steps=6",
                 "few-tokens.parts=2",
                 "quantize.edits.calibrate.tokens=512",
                 "data.train_examples=32",
                 "data.documents=200",
                 "data.dev_examples=16",
                 "data.test_examples=48"};
  };
  REQUIRE(run_bitdistill(arguments("alone")).code == 0);
  const auto ran = run_ranks(2, arguments("ranks"));
  INFO(ran.err);
  REQUIRE(ran.code == 0);
  CHECK(differences(timeless(scratch.path() / "ranks"), timeless(scratch.path() / "alone")) ==
        words{});

  const auto quantize = [&](const char* name) {
    return words{"quantize",
                 "--model",
                 (scratch.path() / "alone" / "stages" / "base").string(),
                 "--tokens",
                 "600",
                 "--threads",
                 "1",
                 "--set",
                 "quantize.edits.calibrate.length=30",
                 "--out",
                 (scratch.path() / name).string()};
  };
  const auto one = run_bitdistill(quantize("one")), two = run_ranks(2, quantize("two"));
  INFO(two.err);
  REQUIRE(one.code == 0);
  REQUIRE(two.code == 0);
  CHECK(times_in(two.out, "the model writes the calibration text itself") == 1);
  CHECK(times_in(two.out, "tokens that calibration did not see") == 1);
  auto expected = tree(scratch.path() / "one"), found = tree(scratch.path() / "two");
  for (auto* files : {&expected, &found}) {
    auto report = tern::parse_json(files->at("calibration.json"), "calibration.json");
    report.erase("seconds");
    files->at("calibration.json") = report.dump();
  }
  CHECK(differences(found, expected) == words{});
}

TEST_CASE("ranks without a part change nothing") {
  if (!can_launch()) return;
  const scratch_dir scratch;
  REQUIRE(run_bitdistill(tiny_demo(scratch.path() / "alone")).code == 0);
  const auto ran = run_ranks(2, tiny_demo(scratch.path() / "ranks"));
  REQUIRE(ran.code == 0);
  CHECK(ran.out.find("fewer parts than there are ranks leave ranks idle: base (1), ") !=
        std::string::npos);
  CHECK(differences(timeless(scratch.path() / "ranks"), timeless(scratch.path() / "alone")) ==
        words{});
}

TEST_CASE("a run whose rank is killed goes on with another number of ranks") {
  if (!can_launch()) return;
  const scratch_dir scratch;
  const std::string corpus = (scratch.path() / "corpus.txt").string();
  write_text(corpus, small_corpus());
  const fs::path whole = scratch.path() / "whole";
  const words calls = disk_calls(scratch, whole, long_stage(whole, corpus));
  const fs::path run = scratch.path() / "broken", state = run / "stages" / "base.state";
  const words arguments = long_stage(run, corpus), program = words{BITDISTILL_PROGRAM} + arguments;
  outcome killed;
  SECTION("rank 0") {
    const auto saved = find_call(calls, "rename stages/base.state");
    const std::string kill = "kill:" + std::to_string(saved + 30);
    killed = run_two(faulty(kill, run, arguments), program);
    CHECK(killed.err.find("rank 0") != std::string::npos);
  }
  SECTION("rank 1") {
    const std::string kill =
        "(while [ ! -e \"$0\" ]; do sleep 0.02; done; kill -9 $$) & exec \"$@\"";
    killed = run_two(program, words{"sh", "-c", kill, state.string()} + program);
    CHECK(killed.err.find("rank 1") != std::string::npos);
  }
  INFO(killed.err);
  CHECK(killed.code != 0);
  REQUIRE(fs::exists(state));
  const auto resumed = run_ranks(3, arguments + words{"--resume"});
  INFO(resumed.err);
  REQUIRE(resumed.code == 0);
  CHECK(resumed.out.find("continued at step") != std::string::npos);
  CHECK(differences(timeless(run), timeless(whole)) == words{});
}

TEST_CASE("a run whose ranks are killed again and again ends with the bits of an unbroken one") {
  if (!can_launch()) return;
  const scratch_dir scratch;
  const std::string corpus = (scratch.path() / "corpus.txt").string();
  write_text(corpus, small_corpus());
  const auto start = std::chrono::steady_clock::now();
  REQUIRE(run_ranks(2, long_stage(scratch.path() / "whole", corpus)).code == 0);
  const std::chrono::duration<double> unbroken = std::chrono::steady_clock::now() - start;
  const fs::path run = scratch.path() / "broken";
  const words program = words{BITDISTILL_PROGRAM} + long_stage(run, corpus) + words{"--resume"};
  tern::philox random(std::random_device{}());
  std::size_t kills = 0;
  for (int i = 0; i < 6; ++i) {
    std::vector<words> ranks(2 + random.below(2), program);
    words& victim = ranks[random.below(static_cast<std::uint32_t>(ranks.size()))];
    // Well before the end, since this run may be twice as fast as the one that was timed.
    const std::string seconds = std::to_string((0.05 + 0.4 * random.uniform()) * unbroken.count());
    victim = words{"timeout", "-s", "KILL", seconds} + victim;
    INFO(ranks.size() << " ranks, one of them killed after " << seconds << " s");
    const outcome ended = run_each(ranks);
    if (ended.code == 0) {  // before the kill, since it was so much faster than the timed one
      fs::remove_all(run);
      continue;
    }
    INFO(ended.err);
    CHECK(ended.err.find("bitdistill: error: ") == std::string::npos);
    ++kills;
  }
  CHECK(kills > 0);
  const outcome last = run_ranks(2, words(program.begin() + 1, program.end()));
  INFO(last.err);
  REQUIRE(last.code == 0);
  CHECK(differences(timeless(run), timeless(scratch.path() / "whole")) == words{});
}

TEST_CASE("rank 1 does not write below the directory of the run") {
  if (!can_launch()) return;
  const scratch_dir scratch;
  const fs::path run = scratch.path() / "run", list = scratch.path() / "calls";
  const words arguments = tiny_demo(run) + words{"stages.parts=2"};
  const auto ran = run_two(words{BITDISTILL_PROGRAM} + arguments,
                           faulty("list:" + list.string(), run, arguments));
  REQUIRE(ran.code == 0);
  CHECK(fs::exists(list));
  CHECK(bytes_of(list).empty());
}

TEST_CASE("a full disk on rank 0 ends the run with one message") {
  if (!can_launch()) return;
  const scratch_dir scratch;
  const fs::path run = scratch.path() / "run";
  const words arguments = tiny_demo(run) + words{"stages.parts=2"};
  const auto ran =
      run_two(faulty("full:40", run, arguments), words{BITDISTILL_PROGRAM} + arguments);
  INFO(ran.err);
  CHECK(ran.code == 2);
  CHECK(times_in(ran.err, "bitdistill: error: rank 0 on ") == 1);
  CHECK(times_in(ran.err, "bitdistill: error: ") == 1);
  CHECK(times_in(ran.err, "No space left on device") == 1);
}

TEST_CASE("a disk that is full in the middle of a state leaves no rank waiting") {
  if (!can_launch()) return;
  const scratch_dir scratch;
  const std::string corpus = (scratch.path() / "corpus.txt").string();
  write_text(corpus, small_corpus());
  const fs::path whole = scratch.path() / "whole", run = scratch.path() / "broken";
  const words calls = disk_calls(scratch, whole, long_stage(whole, corpus));
  const auto saved = find_call(calls, "rename stages/base.state");
  const auto again = find_call(calls, "rename stages/base.state", saved);
  const words arguments = long_stage(run, corpus);
  const auto ran = run_two(faulty("full:" + std::to_string(again - 10), run, arguments),
                           words{BITDISTILL_PROGRAM} + arguments);
  INFO(ran.err);
  CHECK(ran.code == 2);
  CHECK(times_in(ran.err, "bitdistill: error: ") == 1);
  CHECK(times_in(ran.err, "base.state': No space left on device") == 1);
  const auto resumed = run_ranks(3, arguments + words{"--resume"});
  INFO(resumed.err);
  REQUIRE(resumed.code == 0);
  CHECK(resumed.out.find("continued at step 20") != std::string::npos);
  CHECK(differences(timeless(run), timeless(whole)) == words{});
}

TEST_CASE("a rank that differs from rank 0 ends the run before its first step") {
  if (!can_launch()) return;
  const scratch_dir scratch;
  const fs::path run = scratch.path() / "run", here = scratch.path() / "a",
                 there = scratch.path() / "b";
  write_text(here / "corpus.txt", small_corpus());
  write_text(there / "corpus.txt", small_corpus() + "One more.\n");
  const words arguments = long_stage(run, "corpus.txt");
  const words rank_0 = with_env({"-C", here.string()}, arguments);
  words rank_1;
  std::string difference;
  SECTION("in an option") {
    rank_1 = with_env({"-C", here.string()}, arguments + words{"base.seed=2"});
    difference = "its command-line options differ";
  }
  SECTION("in its program") {
    const fs::path other = scratch.path() / "bitdistill";
    fs::copy_file(BITDISTILL_PROGRAM, other);
    std::ofstream(other, std::ios::app) << "x";
    rank_1 = with_env({"-C", here.string()}, arguments, other.string());
    difference = "its version or build of the program differ";
  }
  SECTION("in its data") {
    rank_1 = with_env({"-C", there.string()}, arguments);
    difference = "its settings, models or data of stage base differ";
  }
  const auto ran = run_two(rank_0, rank_1);
  INFO(ran.err);
  CHECK(ran.code == 2);
  CHECK(times_in(ran.err, "bitdistill: error: rank 1 on ") == 1);
  CHECK(times_in(ran.err, difference) == 1);
  CHECK(times_in(ran.err, "bitdistill: error: ") == 1);
  CHECK(!fs::exists(run / "stages" / "base.state"));
}

TEST_CASE("commands that use one process refuse several ranks") {
  if (!can_launch()) return;
  const auto ran = run_ranks(2, {"inspect", "nothing"});
  CHECK(ran.code == 2);
  CHECK(ran.err.find("inspect runs in one process, but it was started as one of 2 ranks") !=
        std::string::npos);
}
