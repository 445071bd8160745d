// The output of a run: log lines have one form, a bar and colour appear on terminals only, and the
// directory of the run has its files.
#include <pty.h>

#include <regex>

#include "program.hpp"

using namespace tern_test;

namespace {

constexpr const char* number = "-?[0-9.]+(e-?[0-9]+)?";

std::regex log_line() {
  const std::string n = std::string(" *") + number;
  return std::regex("[a-z-]+ +step +[0-9]+/[0-9]+ \\| loss" + n + " \\(ce" + n + "( ld" + n +
                    " ad" + n + ")?\\) \\| gnorm" + n + " \\| lr" + n +
                    " \\| +[0-9]+ ms \\| +[0-9.]+[kMG]? tok/s"
                    " \\| eta +[0-9]+(s|m|h[0-9]{2})"
                    "( \\| zeros +[0-9.]+% flips +[0-9.]+% drift +[+-][0-9.]+%)?");
}

/// Arguments of a pretraining that is long enough for a bar.
words long_run(const scratch_dir& scratch) {
  write_text(scratch.path() / "corpus.txt", small_corpus());
  return words{"pretrain", "--out", (scratch.path() / "run").string(), "--corpus",
               (scratch.path() / "corpus.txt").string()} +
         tiny() +
         words{"data.vocab_size=400", "base.steps=1500", "base.log_every=500",
               "base.save_every=500"};
}

/// Runs the program on a terminal; types `key` once something matching `when` was shown.
outcome on_terminal(const words& arguments, const words& environment, const std::string& when = "",
                    char key = 0) {
  int terminal = -1;
  const pid_t child = ::forkpty(&terminal, nullptr, nullptr, nullptr);
  if (child < 0) throw std::runtime_error("forkpty failed");
  if (child == 0) become_program(arguments, words{"TERM=xterm", "NO_COLOR"} + environment);
  outcome result;
  std::array<char, 4096> buffer{};
  bool typed = key == 0;
  for (ssize_t n = 0; (n = ::read(terminal, buffer.data(), buffer.size())) > 0;) {
    result.out.append(buffer.data(), static_cast<std::size_t>(n));
    if (typed || result.out.find(when) == std::string::npos) continue;
    typed = ::write(terminal, &key, 1) == 1;
  }
  ::close(terminal);
  result.code = wait_for(child);
  return result;
}

bool shows(const std::string& text, const std::string& what) {
  return text.find(what) != std::string::npos;
}

}  // namespace

TEST_CASE("log lines in a pipe") {
  const scratch_dir scratch;
  const auto result = run_bitdistill(tiny_demo(scratch.path() / "run"));
  REQUIRE(result.code == 0);
  CHECK(result.err.empty());
  CHECK_FALSE(shows(result.out, "\x1b"));
  CHECK_FALSE(shows(result.out, "\r"));
  const auto form = log_line();
  std::size_t logged = 0;
  std::map<std::string, std::vector<std::size_t>> bars;  // by the form of the line
  for (const auto& line : lines_of(result.out)) {
    if (!shows(line, " step ")) continue;
    INFO(line);
    CHECK(std::regex_match(line, form));
    std::vector<std::size_t> places;
    for (auto at = line.find('|'); at != line.npos && places.size() < 6;
         at = line.find('|', at + 1))
      places.push_back(at);
    const auto slash = line.find('/');
    const auto form_of_line = std::to_string(line.find(' ', slash) - slash) +
                              (shows(line, " ld ") ? " with a teacher" : "");
    CHECK(bars.try_emplace(form_of_line, places).first->second == places);
    ++logged;
  }
  CHECK(logged == 7 + 4 + 4 + 6 + 6);  // first, every second and last of 12, 6, 6, 9, 9 steps
  for (const char* part : {"seed 1", "threads 1", "kernels ", "parameters", "BitDistill against"})
    CHECK(shows(result.out, part));
}

TEST_CASE("a bar and colour on a terminal") {
  const scratch_dir scratch;
  const auto result = on_terminal(long_run(scratch), {});
  INFO(result.out);
  CHECK(result.code == 0);
  CHECK(std::regex_search(result.out, std::regex("base \\[#*\\.+\\] +[0-9]+% eta +[0-9]+s")));
  CHECK(shows(result.out, "\x1b[1m"));
  CHECK(shows(result.out, "\r\x1b[K"));
}

TEST_CASE("NO_COLOR and TERM=dumb") {
  const scratch_dir scratch;
  SECTION("no colour") {
    const auto result = on_terminal(long_run(scratch), {"NO_COLOR=1"});
    CHECK(result.code == 0);
    CHECK_FALSE(std::regex_search(result.out, std::regex("\x1b\\[[0-9;]*m")));
  }
  SECTION("no bar") {
    const auto result = on_terminal(long_run(scratch), {"TERM=dumb"});
    CHECK(result.code == 0);
    CHECK_FALSE(shows(result.out, "\x1b"));
  }
}

TEST_CASE("Ctrl-C at a terminal") {
  const scratch_dir scratch;
  const auto arguments = long_run(scratch) + words{"base.steps=100000"};
  const auto result = on_terminal(arguments, {}, " step ", '\x03');
  CHECK(result.code == 130);
  CHECK(std::regex_search(result.out,
                          std::regex("bitdistill: stopped at step [0-9]+ of stage base")));
  CHECK(fs::exists(scratch.path() / "run/stages/base.state"));
}

TEST_CASE("the files of a run") {
  const scratch_dir scratch;
  const auto run = scratch.path() / "run";
  REQUIRE(run_bitdistill(tiny_demo(run) + words{"--seed", "3"}).code == 0);
  const auto config = tern::read_json(run / "config.json");
  CHECK(config.at("data").at("seed") == 3);
  CHECK(config.at("stages").at(0).at("seed") == 3);
  CHECK(config.at("stages").at(0).at("steps") == 12);
  for (const auto& line : lines_of(bytes_of(run / "metrics.jsonl"))) {
    const auto json = tern::parse_json(line, "metrics.jsonl");
    for (const char* key : {"step", "steps", "loss", "cross_entropy", "gradient_norm",
                            "learning_rate", "seconds", "tokens"})
      CHECK(json.at(key).is_number());
    CHECK(json.contains("relations") == (json.at("stage") == "bitdistill"));
    CHECK(json.at("stage").is_string());
  }
  const auto table = tern::read_json(run / "table.json");
  const std::vector<std::string> methods{"FP-SFT", "BitNet-SFT", "BitDistill"};
  REQUIRE(table.size() == methods.size());
  for (std::size_t i = 0; i < methods.size(); ++i) {
    CHECK(table[i].size() == 4);
    CHECK(table[i].at("method") == methods[i]);
    CHECK(table[i].at("accuracy").get<double>() <= 100);
    CHECK(table[i].at("megabytes").get<double>() > 0);
    CHECK(table[i].at("tokens_per_second").get<double>() > 0);
    CHECK(shows(bytes_of(run / "table.txt"), methods[i]));
  }

  SECTION("config.json makes the same run again") {
    const auto again = scratch.path() / "again";
    REQUIRE(run_bitdistill({"demo", "--no-speed", "--out", again.string(), "--recipe",
                            (run / "config.json").string(), "--threads", "1"})
                .code == 0);
    CHECK(differences(timeless(again), timeless(run)) == words{});
  }
  SECTION("another seed makes another") {
    const auto other = scratch.path() / "other";
    REQUIRE(run_bitdistill(tiny_demo(other) + words{"--seed", "4"}).code == 0);
    CHECK(bytes_of(other / "stages/base/model.safetensors") !=
          bytes_of(run / "stages/base/model.safetensors"));
  }
}

TEST_CASE("help") {
  const auto all = run_bitdistill({"--help"});
  CHECK(all.code == 0);
  CHECK(run_bitdistill({"--version"}).code == 0);
  for (const char* command :
       {"demo", "tokenizer", "pretrain", "finetune", "distill", "run", "eval", "inspect"}) {
    INFO(command);
    CHECK(shows(all.out, command));
    const auto result = run_bitdistill({command, "--help"});
    CHECK(result.code == 0);
    CHECK(result.err.empty());
    CHECK(shows(result.out, "Examples:"));
    CHECK(shows(result.out, std::string("bitdistill ") + command));
  }
}
