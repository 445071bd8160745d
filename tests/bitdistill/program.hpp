// Runs the program as a child process, and reads the results that its tests compare.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tern/io/text_file.hpp"
#include "tern/json/read_json.hpp"
#include "tests/support.hpp"

namespace tern_test {

namespace fs = std::filesystem;
using words = std::vector<std::string>;

struct outcome {
  int code = 0;  ///< exit code, or minus the signal that ended the process
  std::string out, err;
  long kilobytes = 0;  ///< largest resident memory
};

inline int code_of(int status) {
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

inline int wait_for(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return code_of(status);
}

/// Turns this process into a program. `environment` holds "NAME=value" for variables to set and
/// "NAME" for variables to unset.
[[noreturn]] inline void become_program(const words& arguments, const words& environment,
                                        const char* program = BITDISTILL_PROGRAM) {
  ::signal(SIGINT, SIG_DFL);
  for (const auto& entry : environment) {
    const auto equals = entry.find('=');
    if (equals == entry.npos)
      ::unsetenv(entry.c_str());
    else
      ::setenv(entry.substr(0, equals).c_str(), entry.substr(equals + 1).c_str(), 1);
  }
  std::vector<char*> argv{const_cast<char*>(program)};
  for (const auto& word : arguments) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execv(program, argv.data());
  ::_exit(127);
}

/// Runs the program to its end, in the directory where one is given. Its standard output goes into
/// the file `output` where one is given, and its standard input is the file `input`. `program` is
/// another program to run.
inline outcome run_bitdistill(const words& arguments, const words& environment = {},
                              const fs::path& directory = {}, const char* output = nullptr,
                              const char* input = nullptr,
                              const char* program = BITDISTILL_PROGRAM) {
  std::array<int, 2> out{}, err{};
  if (::pipe2(out.data(), O_CLOEXEC) != 0 || ::pipe2(err.data(), O_CLOEXEC) != 0)
    throw std::runtime_error("pipe2 failed");
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(output == nullptr ? out[1] : ::open(output, O_WRONLY), 1);
    ::dup2(err[1], 2);
    if (input != nullptr) ::dup2(::open(input, O_RDONLY), 0);
    if (!directory.empty() && ::chdir(directory.c_str()) != 0) ::_exit(127);
    become_program(arguments, environment, program);
  }
  ::close(out[1]);
  ::close(err[1]);
  outcome result;
  std::array<pollfd, 2> ends{{{out[0], POLLIN, 0}, {err[0], POLLIN, 0}}};
  for (int open = 2; open > 0;) {
    ::poll(ends.data(), ends.size(), -1);
    for (auto& end : ends) {
      std::array<char, 4096> buffer{};
      if (end.fd < 0 || end.revents == 0) continue;
      const ssize_t n = ::read(end.fd, buffer.data(), buffer.size());
      if (n > 0) {
        (end.fd == out[0] ? result.out : result.err)
            .append(buffer.data(), static_cast<std::size_t>(n));
        continue;
      }
      ::close(end.fd);
      end.fd = -1;
      --open;
    }
  }
  int status = 0;
  rusage usage{};
  ::wait4(child, &status, 0, &usage);
  result.code = code_of(status);
  result.kilobytes = usage.ru_maxrss;
  return result;
}

/// The environment in which the program meets a fault (see faults.cpp).
inline words with_fault(const std::string& fault) {
  return {"TERN_FAULT=" + fault, "LD_PRELOAD=" BITDISTILL_FAULTS,
          "ASAN_OPTIONS=verify_asan_link_order=0"};
}

/// The lines of a text, without line ends.
inline words lines_of(const std::string& text) {
  words lines;
  tern::for_each_line(text, [&](std::string_view line, std::size_t) { lines.emplace_back(line); });
  return lines;
}

inline void write_text(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

inline std::string bytes_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Every file below a directory with its content. Directories have an empty content.
inline std::map<std::string, std::string> tree(const fs::path& directory) {
  std::map<std::string, std::string> files;
  if (!fs::exists(directory)) return files;
  for (const auto& entry : fs::recursive_directory_iterator(directory))
    files[fs::relative(entry.path(), directory).string()] =
        entry.is_regular_file() ? bytes_of(entry.path()) : "";
  return files;
}

/// The files of a run without everything that depends on the clock, or on the number of ranks.
inline std::map<std::string, std::string> timeless(const fs::path& run) {
  auto files = tree(run);
  std::string metrics;
  for (const auto& line : lines_of(files["metrics.jsonl"])) {
    auto json = tern::parse_json(line, "metrics.jsonl");
    json.erase("seconds");
    json.erase("sent");
    metrics += json.dump() + "\n";
  }
  files["metrics.jsonl"] = metrics;
  if (files.contains("table.json")) {
    auto table = tern::parse_json(files["table.json"], "table.json");
    for (auto& row : table) row.erase("tokens_per_second");
    files["table.json"] = table.dump();
  }
  for (auto& [name, content] : files) {
    if (!name.ends_with("/result.json")) continue;
    auto json = tern::parse_json(content, name);
    json.at("row").erase("tokens_per_second");
    content = json.dump();
  }
  files.erase("table.txt");
  return files;
}

/// Names of the files in which two trees differ.
inline words differences(const std::map<std::string, std::string>& a,
                         const std::map<std::string, std::string>& b) {
  words names;
  for (const auto& [name, content] : a)
    if (!b.contains(name) || b.at(name) != content) names.push_back(name);
  for (const auto& [name, content] : b)
    if (!a.contains(name)) names.push_back(name);
  return names;
}

inline words operator+(words a, const words& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// Settings of stages that take milliseconds.
inline words short_settings() {
  return {"stages.sequences=4", "stages.length=32", "stages.log_every=2", "stages.save_every=4",
          "data.prompt_tokens=32"};
}

/// Settings of a small model and of stages that take milliseconds.
inline words tiny_settings() {
  return short_settings() + words{"model.hidden_size=16",
                                  "model.intermediate_size=32",
                                  "model.num_hidden_layers=2",
                                  "model.num_attention_heads=2",
                                  "model.num_key_value_heads=2",
                                  "model.head_dim=8",
                                  "model.max_position_embeddings=128"};
}

/// Settings with few steps for the stages of a run.
inline words tiny_steps() {
  return {"pretraining.steps=12", "continual.steps=9",
          "finetuning.steps=6",   "bitnet_sft.steps=6",
          "distillation.steps=9", "distillation.losses.relations.split_heads=2"};
}

inline words tiny() { return words{"--threads", "1", "--set"} + tiny_settings(); }

/// tiny() for commands that start from a model.
inline words tiny_stages() { return words{"--threads", "1", "--set"} + short_settings(); }

/// Arguments of a small demo in the directory `run`.
inline words tiny_demo(const fs::path& run) {
  return words{"demo", "--no-speed", "--out", run.string()} + tiny() + tiny_steps() +
         words{"data.train_examples=32", "data.documents=200", "data.dev_examples=16",
               "data.test_examples=48"};
}

/// A grid of two layers and some seeds on the embedded language, in milliseconds.
inline words tiny_grid(const fs::path& out, const std::string& seeds = "[1, 2]") {
  const fs::path recipe = out.parent_path() / "grid.json";
  write_text(recipe, R"({"extends": "grid-layers", "title": "Tiny", "grid": {
      "seeds": )" + seeds +
                         R"(, "axes": [
      {"name": "layer", "key": "bitdistill.losses.relations.layer", "values": [-1, -2]}]}})");
  return words{"run", "--task", "microworld", "--recipe", recipe.string(), "--out", out.string()} +
         tiny() +
         words{"pretraining.steps=12",
               "continual.steps=9",
               "finetuning.steps=6",
               "distillation.steps=9",
               "distillation.losses.relations.split_heads=2",
               "data.train_examples=32",
               "data.documents=200",
               "data.dev_examples=16",
               "data.test_examples=48"};
}

/// The files of a grid without everything that depends on the clock or on the order of stages.
inline std::map<std::string, std::string> timeless_grid(const fs::path& grid) {
  std::map<std::string, std::string> all;
  for (const auto& entry : fs::directory_iterator(grid / "points"))
    for (auto& [name, content] : timeless(entry.path())) {
      words lines = lines_of(content);
      if (name == "metrics.jsonl") std::ranges::sort(lines);
      std::string text;
      for (const auto& line : lines) text += line + "\n";
      all[entry.path().filename().string() + "/" + name] = name == "metrics.jsonl" ? text : content;
    }
  return all;
}

/// A text with enough documents for the windows of tiny().
inline std::string small_corpus() {
  std::string text;
  for (int i = 0; i < 40; ++i)
    text += "The " + std::to_string(i) + "th film was terrible or great: yes, no or maybe.\n\n";
  return text;
}

/// The calls of a run that change the disk, in order, such as "rename stages/base.state".
inline words disk_calls(const scratch_dir& scratch, const fs::path& run, const words& arguments) {
  const auto list = scratch.path() / "calls";
  const auto unbroken = run_bitdistill(arguments, with_fault("list:" + list.string()));
  INFO(unbroken.err);
  REQUIRE(unbroken.code == 0);
  words calls;
  for (auto& line : lines_of(bytes_of(list))) {
    const auto at = line.find(run.string());
    calls.push_back(at == line.npos ? line : line.erase(at, run.string().size() + 1));
  }
  return calls;
}

/// The number, counted from 1, of the first call after `from` that ends with `call`.
inline std::size_t find_call(const words& calls, const std::string& call, std::size_t from = 0) {
  for (std::size_t i = from; i < calls.size(); ++i)
    if (calls[i].ends_with(call)) return i + 1;
  FAIL("no call " << call);
  return 0;
}

/// A directory with files in the form of SST-2 and a corpus.
struct review_files {
  explicit review_files(const fs::path& where) : directory(where / "data") {
    write_text(train(), "sentence\tlabel\r\na good film\t1\r\na \"bad\" film\t0\r\n");
    write_text(dev(), "sentence\tlabel\r\na good, long film\t1\r\nso bad\t0\r\n\r\n");
    write_text(corpus(), small_corpus());
  }
  [[nodiscard]] fs::path train() const { return directory / "train.tsv"; }
  [[nodiscard]] fs::path dev() const { return directory / "dev.tsv"; }
  [[nodiscard]] fs::path corpus() const { return directory / "corpus.txt"; }
  [[nodiscard]] words run(const fs::path& out, const words& sizes = tiny()) const {
    return words{"run",
                 "--out",
                 out.string(),
                 "--task",
                 "sst2",
                 "--data",
                 directory.string(),
                 "--corpus",
                 corpus().string()} +
           sizes + tiny_steps() + words{"data.vocab_size=400"};
  }
  fs::path directory;
};

}  // namespace tern_test
