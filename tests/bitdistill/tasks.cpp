// Tasks from the files of GLUE and from files of one's own, with compressed corpora; eval prints
// the accuracy of the table; the subcommands together make a student from nothing.
#include <zlib.h>

#include <algorithm>
#include <regex>

#include "program.hpp"

using namespace tern_test;

namespace {

void write_gzip(const fs::path& path, const std::string& text) {
  const gzFile file = ::gzopen(path.c_str(), "wb");
  REQUIRE(file != nullptr);
  CHECK(::gzwrite(file, text.data(), static_cast<unsigned>(text.size())) ==
        static_cast<int>(text.size()));
  CHECK(::gzclose(file) == Z_OK);
}

/// Runs all stages, and checks that the table has the accuracy that eval finds in `examples`
/// examples.
void check_run(const scratch_dir& scratch, const words& task, std::size_t examples) {
  write_gzip(scratch.path() / "corpus.txt.gz", small_corpus());
  const auto run = scratch.path() / "run";
  const auto result = run_bitdistill(
      words{"run", "--out", run.string(), "--corpus", (scratch.path() / "corpus.txt.gz").string()} +
      task + tiny() + tiny_steps() + words{"data.vocab_size=400"});
  INFO(result.err);
  REQUIRE(result.code == 0);
  const auto table = tern::read_json(run / "table.json");
  const words models{"fp-sft", "bitnet-sft", "bitdistill"};
  REQUIRE(table.size() == models.size());
  for (std::size_t i = 0; i < models.size(); ++i) {
    const auto eval =
        run_bitdistill(words{"eval", "--model", (run / "models" / models[i]).string()} + task +
                       words{"--set", "data.prompt_tokens=32"});
    INFO(eval.out << eval.err);
    REQUIRE(eval.code == 0);
    std::smatch found;
    REQUIRE(std::regex_search(eval.out, found,
                              std::regex("\\| ([0-9]+) examples \\| accuracy ([0-9.]+) %")));
    CHECK(found[1] == std::to_string(examples));
    CHECK(std::stod(found[2]) == Approx(table[i].at("accuracy").get<double>()).margin(0.006));
  }
}

}  // namespace

TEST_CASE("sst2") {
  const scratch_dir scratch;
  const auto data = scratch.path() / "data";
  write_text(data / "train.tsv", "sentence\tlabel\r\n\"it is a good film \t1\r\nno \t0\r\n");
  write_text(data / "dev.tsv",
             "sentence\tlabel\r\n\"unbalanced\" \"quotes \t1\r\nso \"bad\" \t0\r\n'tis\t1\r\n");
  check_run(scratch, {"--task", "sst2", "--data", data.string()}, 3);
}

TEST_CASE("mnli") {
  const scratch_dir scratch;
  const auto data = scratch.path() / "data";
  const std::string columns =
      "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
      "sentence1_parse\tsentence2_parse\tsentence1\tsentence2\tlabel1\t";
  const auto row = [](const std::string& premise, const std::string& more, const char* label) {
    return "0\t1\t1e\tfiction\t( a )\t( b )\t(ROOT a)\t(ROOT \"b)\t" + premise +
           "\tIt was great.\tneutral\t" + more + label + "\r\n";
  };
  write_text(data / "train.tsv", columns + "gold_label\r\n" + row("Great.", "", "entailment") +
                                     row("\"Bad", "", "contradiction") +
                                     row("A film.", "", "neutral"));
  write_text(data / "dev_matched.tsv",
             columns + "label2\tlabel3\tlabel4\tlabel5\tgold_label\r\n" +
                 row("So great.", "neutral\tneutral\tneutral\tneutral\t", "entailment") +
                 row("No.", "neutral\tneutral\tneutral\tneutral\t", "contradiction"));
  check_run(scratch, {"--task", "mnli", "--data", data.string()}, 2);
}

TEST_CASE("qnli") {
  const scratch_dir scratch;
  const auto data = scratch.path() / "data";
  const std::string header = "index\tquestion\tsentence\tlabel\r\n";
  write_text(data / "train.tsv", header +
                                     "0\tWas it \"long?\tIt was.\tentailment\r\n"
                                     "1\tWas it?\tA film.\tnot_entailment\r\n");
  write_text(data / "dev.tsv", header +
                                   "0\tWho was it?\tA film.\tnot_entailment\r\n"
                                   "1\tWas it?\tIt was.\tentailment\r\n");
  check_run(scratch, {"--task", "qnli", "--data", data.string()}, 2);
}

TEST_CASE("distillation learns from inputs without labels, and again where they changed") {
  const scratch_dir scratch;
  const auto data = scratch.path() / "data", more = scratch.path() / "more.txt",
             run = scratch.path() / "run";
  write_text(data / "train.tsv", "sentence\tlabel\nit is a good film\t1\nno\t0\n");
  write_text(data / "dev.tsv", "sentence\tlabel\nso bad\t0\na good film\t1\n");
  write_gzip(scratch.path() / "corpus.txt.gz", small_corpus());
  const auto weights = [&](const std::string& inputs) {
    write_text(more, inputs);
    words command{"run",
                  "--recipe",
                  "few-tokens",
                  "--out",
                  run.string(),
                  "--task",
                  "sst2",
                  "--data",
                  data.string(),
                  "--unlabelled",
                  more.string(),
                  "--corpus",
                  (scratch.path() / "corpus.txt.gz").string()};
    if (fs::exists(run)) command = {"run", "--out", run.string(), "--resume"};
    const auto result = run_bitdistill(
        fs::exists(run) ? command
                        : command + tiny() +
                              words{"stages.steps=2", "stages.sequences=4", "data.vocab_size=400",
                                    "quantize.edits.calibrate.tokens=200", "quantize.steps=0"});
    INFO(result.err);
    REQUIRE(result.code == 0);
    return bytes_of(run / "stages/few-tokens/model.safetensors");
  };
  const auto first = weights("a long film\nand another one\n");
  CHECK(weights("a long film\nand another one\n") == first);
  CHECK(weights("a long film\nand a third one\n") != first);
}

TEST_CASE("a task of one's own") {
  const scratch_dir scratch;
  const auto data = scratch.path() / "data";
  write_text(data / "train.tsv", "stars\treview\nmany\tso great\nfew\tso bad\nmany\tlong\n");
  write_text(data / "dev.tsv", "review\tstars\ngreat\tmany\nbad\tfew\nlong\tmany\nno\tfew\n");
  const words task{"--data",   data.string(), "--prompt",      "{review} =>",
                   "--answer", "{stars}",     "--label-words", "terrible,great"};
  check_run(scratch, task, 4);
  auto wrong = task;
  wrong.back() = "terrible,great,maybe";
  const auto out = scratch.path() / "wrong";
  const auto result = run_bitdistill(
      words{"run", "--out", out.string(), "--corpus", (scratch.path() / "corpus.txt.gz").string()} +
      wrong + tiny() + tiny_steps());
  CHECK(result.code == 2);
  CHECK(result.err.find("expected one label word for each label") != std::string::npos);
  CHECK_FALSE(fs::exists(out));
}

TEST_CASE("stage by stage, and what inspect tells of it") {
  const scratch_dir scratch;
  const review_files files(scratch.path());
  const auto at = [&](const char* name) { return (scratch.path() / name).string(); };
  const words corpus{"--corpus", files.corpus().string()};
  const words task{"--task", "sst2", "--data", files.directory.string()};
  const auto step = [](const words& arguments, const words& sets) {
    const bool from_model = std::ranges::count(arguments, "--model") != 0;
    const auto result = run_bitdistill(arguments + (from_model ? tiny_stages() : tiny()) + sets);
    INFO(result.err);
    REQUIRE(result.code == 0);
    return result.out;
  };
  REQUIRE(run_bitdistill(words{"tokenizer", "--out", at("tokenizer.json"), "--vocab-size", "400"} +
                         corpus)
              .code == 0);
  step(words{"pretrain", "--out", at("base"), "--tokenizer", at("tokenizer.json")} + corpus,
       {"base.steps=12"});
  const std::string base = at("base/stages/base");
  CHECK(bytes_of(base + "/tokenizer.json") == bytes_of(at("tokenizer.json")));
  step(words{"pretrain", "--out", at("continual"), "--model", base, "--ternary"} + corpus,
       {"continual.steps=9"});
  step(words{"finetune", "--out", at("teacher"), "--model", base} + task, {"finetune.steps=6"});
  step(words{"finetune", "--out", at("naive"), "--model", base, "--ternary"} + task,
       {"finetune.steps=6"});
  step(words{"distill", "--out", at("student"), "--model", at("continual/stages/continual"),
             "--teacher", at("teacher/stages/finetune")} +
           task,
       {"distill.steps=9", "distill.losses.relations.split_heads=2"});
  for (const auto& [run, method] :
       {std::pair("teacher", "FP-SFT"), {"naive", "BitNet-SFT"}, {"student", "BitDistill"}}) {
    const auto table = tern::read_json(at(run) + "/table.json");
    REQUIRE(table.size() == 1);
    CHECK(table[0].at("method") == method);
  }
  const auto inspect = [](const std::string& path) {
    const auto result = run_bitdistill({"inspect", path});
    INFO(result.err);
    CHECK(result.code == 0);
    return result.out;
  };
  CHECK(inspect(base).find("full precision") != std::string::npos);
  CHECK(inspect(at("student/models/distill")).find("ternary") != std::string::npos);
  CHECK(inspect(at("student")).find("step 9/9") != std::string::npos);
  CHECK(inspect(base + "/model.safetensors").find("checksum right") != std::string::npos);
}

TEST_CASE("--model takes the place of the base that a recipe makes, also as a teacher") {
  const scratch_dir scratch;
  const review_files files(scratch.path());
  const auto base = scratch.path() / "base", run = scratch.path() / "run";
  const words corpus{"--corpus", files.corpus().string()};
  REQUIRE(run_bitdistill(words{"pretrain", "--out", base.string()} + corpus + tiny() +
                         words{"base.steps=2", "data.vocab_size=400"})
              .code == 0);
  const auto recipe = scratch.path() / "own.json";
  write_text(recipe, R"({"extends": "text", "stages": [
      {"name": "base", "like": "pretraining"},
      {"name": "student", "like": "distillation", "from": "base", "teacher": "base"}]})");
  const std::string model = (base / "stages/base").string();
  const auto result = run_bitdistill(
      words{"run", "--out", run.string(), "--recipe", recipe.string(), "--model", model, "--task",
            "sst2", "--data", files.directory.string()} +
      tiny_stages() + words{"student.steps=2", "student.losses.relations.split_heads=2"});
  INFO(result.err);
  REQUIRE(result.code == 0);
  const auto stages = tern::read_json(run / "config.json").at("stages");
  REQUIRE(stages.size() == 1);
  CHECK(stages[0].at("from") == model);
  CHECK(stages[0].at("teacher") == model);
}

namespace {

/// Every stage of a recipe runs for one step.
outcome run_one_step(const std::string& recipe, const fs::path& out) {
  return run_bitdistill(words{"run", "--recipe", recipe, "--task", "microworld", "--out",
                              out.string(), "--threads", "1", "--set"} +
                        words{"stages.steps=1", "stages.sequences=2", "stages.length=32",
                              "data.train_examples=3", "data.documents=50", "data.dev_examples=3",
                              "data.test_examples=3"});
}

}  // namespace

TEST_CASE("every shipped recipe runs") {
  const auto name =
      GENERATE("demo", "demo-quick", "text", "text-pairs", "summaries", "table5", "table6",
               "bitnet-sft-steps", "few-tokens", "few-tokens-table", "paper", "paper-original");
  INFO(name);
  const scratch_dir scratch;
  const auto printed = run_bitdistill({"run", "--print-recipe", name});
  CHECK(tern::parse_json(printed.out, name).contains("title"));
  const auto result = run_one_step(name, scratch.path() / "run");
  INFO(result.err);
  CHECK(result.code == 0);
}

TEST_CASE("a recipe that extends one without templates gets those of its task") {
  const scratch_dir scratch;
  const auto recipe = scratch.path() / "own.json";
  write_text(recipe, R"({"extends": "few-tokens", "title": "own"})");
  const auto result = run_one_step(recipe.string(), scratch.path() / "run");
  INFO(result.err);
  CHECK(result.code == 0);
}

namespace {

/// A ternary model with SubLN, and arguments of `run` that train it further.
struct ternary_start {
  scratch_dir scratch;
  review_files files{scratch.path()};
  fs::path out = scratch.path() / "run";

  /// The stage of the run makes the edits that `edits` says.
  words further(const std::string& edits) {
    const auto at = [&](const char* name) { return (scratch.path() / name).string(); };
    const words corpus{"--corpus", files.corpus().string()};
    REQUIRE(run_bitdistill(words{"pretrain", "--out", at("base")} + corpus + tiny() +
                           words{"base.steps=2", "data.vocab_size=400"})
                .code == 0);
    REQUIRE(run_bitdistill(words{"pretrain", "--out", at("continual"), "--model",
                                 at("base/stages/base"), "--ternary"} +
                           corpus + tiny_stages() + words{"continual.steps=2"})
                .code == 0);
    write_text(at("own.json"),
               R"({"extends": "text", "stages": [{"name": "base", "like": "pretraining"},
        {"name": "further", "like": "continual", "from": "base", "edits": )" +
                   edits + "}]}");
    return words{"run",
                 "--out",
                 out.string(),
                 "--recipe",
                 at("own.json"),
                 "--model",
                 at("continual/stages/continual")} +
           corpus + tiny_stages() + words{"further.steps=2"};
  }
};

}  // namespace

TEST_CASE("run trains a ternary model with SubLN further") {
  ternary_start start;
  const auto result = run_bitdistill(start.further(R"({"make_ternary": true})"));
  INFO(result.err);
  CHECK(result.code == 0);
}

TEST_CASE("a stage that would insert SubLN a second time is refused") {
  ternary_start start;
  const auto result = run_bitdistill(start.further(R"({"sub_ln": "subln"})"));
  INFO(result.err);
  CHECK(result.code == 2);
  CHECK(result.err.find("stage further inserts SubLN, which ") != std::string::npos);
  CHECK(result.err.find("--set further.edits.sub_ln=none leaves it out") != std::string::npos);
  CHECK_FALSE(fs::exists(start.out));
}

TEST_CASE("turning on quantization is refused where scales are learned") {
  ternary_start start;
  const auto result = run_bitdistill(start.further(R"({"learned_scales": "row"})") +
                                     words{"further.quantization_warmup=0.5"});
  INFO(result.err);
  CHECK(result.code == 2);
  CHECK(result.err.find("stage further: quantization_warmup needs a ternary model without") !=
        std::string::npos);
  CHECK_FALSE(fs::exists(start.out));
}

TEST_CASE("--set model.* is refused where stages start from a model") {
  ternary_start start;
  const auto result = run_bitdistill(start.further("{}") + words{"model.hidden_size=32"});
  INFO(result.err);
  CHECK(result.code == 2);
  CHECK(result.err.find("--set model.hidden_size=32: the stages start from '") !=
        std::string::npos);
  CHECK_FALSE(fs::exists(start.out));
}
