// The command quantize: a model becomes ternary, is exported and answers; and what is refused.
#include <limits>
#include <regex>

#include "program.hpp"
#include "tern/checkpoint/load_config.hpp"
#include "tern/checkpoint/load_model.hpp"
#include "tern/checkpoint/save_model.hpp"

using namespace tern_test;

namespace {

/// A full-precision model that was trained for a few steps, below `scratch`, and its corpus.
struct trained {
  scratch_dir scratch;
  std::string corpus = at("corpus.txt"), model = at("base/stages/base");

  trained() {
    write_text(corpus, small_corpus());
    REQUIRE(run_bitdistill(words{"pretrain", "--out", at("base"), "--corpus", corpus} + tiny() +
                           words{"pretraining.steps=12", "data.vocab_size=400"})
                .code == 0);
  }
  [[nodiscard]] std::string at(const std::string& name) const {
    return (scratch.path() / name).string();
  }
  [[nodiscard]] words quantize(const std::string& out) const {
    return {"quantize",
            "--model",
            model,
            "--tokens",
            "600",
            "--set",
            "quantize.edits.calibrate.length=30",
            "--out",
            out};
  }
};

outcome succeeds(const words& arguments) {
  auto result = run_bitdistill(arguments);
  INFO(result.err);
  REQUIRE(result.code == 0);
  return result;
}

}  // namespace

TEST_CASE("quantize makes a ternary model that export and generate take") {
  const trained base;
  const auto [name, options] = GENERATE(table<std::string, words>({
      {"a scale for each row", {}},
      {"a scale for a matrix", {"--scale", "tensor"}},
      {"a scale for every 8 columns", {"--scale", "group:8"}},
      {"SubLN", {"--sub-ln", "matched"}},
      {"norms before every linear", {"--sub-ln", "all", "--scale", "tensor"}},
  }));
  INFO(name);
  const std::string out = base.at("ternary"), packed = base.at("packed");
  const auto said =
      succeeds(base.quantize(out) + words{"--calibration", base.corpus} + options).out;
  CHECK(std::regex_search(
      said, std::regex("tokens that calibration did not see: loss [0-9.]+ -> [0-9.]+ nats "
                       "\\(perplexity [0-9.]+ -> [0-9.]+\\) \\| KL [0-9.]+ nats")));
  CHECK(lines_of(said)[1] == "layer  nearest  calibrated  hidden states");
  CHECK(tern::load_config(out).ternary);
  CHECK_FALSE(fs::exists(fs::path(out) / "calibration"));
  const auto report = tern::read_json(fs::path(out) / "calibration.json");
  REQUIRE(report.at("layers").size() == 2);
  CHECK(report.at("layers")[1].at("calibrated").size() == 7);
  CHECK(report.at("comparison").at("source_loss") > 0);
  succeeds({"export", "--model", out, "--out", packed, "--head-bits", "32"});
  const words prompt{"--prompt", "The 3th film", "--max-tokens", "12", "--kv", "f32"};
  CHECK(succeeds(words{"generate", "--model", packed} + prompt).out ==
        succeeds(words{"generate", "--model", out} + prompt).out);
  // Widths below 256 get Q2_0 by default, whose blocks of 64 are too wide for this model, too.
  const auto gguf =
      run_bitdistill({"export", "--model", out, "--to", "gguf", "--out", base.at("narrow.gguf")});
  CHECK(gguf.code == 2);
  CHECK(std::regex_search(gguf.err, std::regex("Q2_0 (needs rows of a multiple of 64|holds one for "
                                               "every 1 x 64)|would lose sub_ln")));
}

TEST_CASE("without text the model writes the calibration text itself") {
  const trained base;
  const auto said = succeeds(base.quantize(base.at("ternary"))).out;
  CHECK(lines_of(said)[0].starts_with("no --calibration and no --task"));
  CHECK(tern::load_config(base.at("ternary")).ternary);
}

TEST_CASE("quantize refuses what it cannot do, and leaves nothing behind") {
  const trained base;
  write_text(base.at("short.txt"), "too short");
  const auto [name, option, value, reason] =
      GENERATE(table<std::string, std::string, std::string, std::string>({
          {"text shorter than a window", "--calibration", "short.txt",
           "--calibration: the text has [1-9][0-9]* tokens, expected at least 30"},
          {"a file that is missing", "--calibration", "none.txt", "none.txt"},
          {"a group of nothing", "--scale", "group:0", "expected tensor, row or group:N"},
          {"a task without data", "--task", "sst2", "needs --data"},
      }));
  INFO(name);
  const auto result =
      run_bitdistill(base.quantize(base.at("out")) +
                     words{option, value.ends_with(".txt") ? base.at(value) : value});
  INFO(result.err);
  CHECK(result.code == 2);
  CHECK(lines_of(result.err).size() == 1);
  CHECK(std::regex_search(result.err, std::regex(reason)));
  CHECK_FALSE(fs::exists(base.at("out")));
}

TEST_CASE("quantize refuses models that it cannot make ternary") {
  const trained base;
  auto model = tern::load_model<>(base.model);
  model.layers()[1].up.weight.value(0, 0) = std::numeric_limits<float>::quiet_NaN();
  tern::save_model(model, base.at("nan"), tern::storage::master);
  fs::copy(fs::path(base.model) / "tokenizer.json", fs::path(base.at("nan")) / "tokenizer.json");
  const review_files files(base.scratch.path());
  outcome result;
  for (const words& text : {words{"--calibration", base.corpus},
                            words{"--task", "sst2", "--data", files.directory.string()}}) {
    words nan = base.quantize(base.at("out")) + text;
    nan[2] = base.at("nan");
    result = run_bitdistill(nan);
    CHECK(result.code == 2);
    CHECK(
        result.err.find("tensor 'model.layers.1.mlp.up_proj.weight': row 0 has a value that is not "
                        "finite") != std::string::npos);
  }

  succeeds(base.quantize(base.at("ternary")) + words{"--calibration", base.corpus});
  words again = base.quantize(base.at("twice")) + words{"--calibration", base.corpus};
  again[2] = base.at("ternary");
  result = run_bitdistill(again);
  CHECK(result.code == 2);
  CHECK(result.err.find("calibration needs a full-precision model") != std::string::npos);

  result = run_bitdistill(base.quantize(base.at("ternary")) + words{"--calibration", base.corpus});
  CHECK(result.code == 2);
  CHECK(result.err.find("holds a model already") != std::string::npos);
}

TEST_CASE("quantize on a full disk says so, and goes on where it was") {
  const trained base;
  const words text{"--calibration", base.corpus};
  const words whole = base.quantize(base.at("whole")) + text;
  const auto calls = disk_calls(base.scratch, base.at("whole"), whole);
  REQUIRE(calls.size() > 5);
  for (std::size_t n = 1; n <= calls.size(); n += 1 + calls.size() / 4) {
    INFO("full at call " << n << ", " << calls[n - 1]);
    const auto out = base.at("full-" + std::to_string(n));
    const auto result =
        run_bitdistill(base.quantize(out) + text, with_fault("full:" + std::to_string(n)));
    CHECK(result.code == 2);
    CHECK(std::regex_search(result.err, std::regex("No space left on device|cannot")));
    if (!fs::exists(fs::path(out) / "config.json")) succeeds(base.quantize(out) + text);
    for (const char* name : {"model.safetensors", "config.json"})
      CHECK(bytes_of(fs::path(out) / name) == bytes_of(fs::path(base.at("whole")) / name));
  }
}

TEST_CASE("few-tokens with a teacher of another vocabulary is refused before the work starts") {
  const trained base;
  const review_files files(base.scratch.path());
  REQUIRE(run_bitdistill(words{"pretrain", "--out", base.at("other"), "--corpus", base.corpus} +
                         tiny() + words{"pretraining.steps=1", "data.vocab_size=260"})
              .code == 0);
  const auto result = run_bitdistill({"run", "--recipe", "few-tokens", "--model", base.model,
                                      "--task", "sst2", "--data", files.directory.string(),
                                      "--corpus", base.corpus, "--out", base.at("run"), "--set",
                                      "few-tokens.teacher=" + base.at("other/stages/base")});
  INFO(result.err);
  CHECK(result.code == 2);
  CHECK(result.err.find("has another tokenizer than the student") != std::string::npos);
  CHECK_FALSE(fs::exists(base.at("run")));
}
