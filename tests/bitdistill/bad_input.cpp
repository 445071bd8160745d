// Input that is wrong: the exit code is 2, one line on stderr names file and line and what was
// expected, and nothing on the disk has changed.
#include <regex>

#include "program.hpp"

using namespace tern_test;

namespace {

/// Runs the program, which must refuse with a line that matches `message`.
void refuses(const words& arguments, const std::string& message, const words& environment = {}) {
  const auto result = run_bitdistill(arguments, environment);
  INFO(result.err);
  CHECK(result.code == 2);
  CHECK(result.err.ends_with("\n"));
  CHECK(std::ranges::count(result.err, '\n') == 1);
  CHECK(std::regex_search(result.err, std::regex("^bitdistill: error: .*" + message)));
}

/// Runs the program, which must refuse and leave everything below `directory` as it is.
void refuses_cleanly(const fs::path& directory, const words& arguments,
                     const std::string& message) {
  const auto before = tree(directory);
  refuses(arguments, message);
  CHECK(differences(tree(directory), before) == words{});
}

/// The bytes of a file with one bit of the last tensor changed.
std::string flipped(std::string bytes) {
  bytes[bytes.size() - 1000] ^= 4;
  return bytes;
}

}  // namespace

TEST_CASE("task files and corpora that are not what they must be") {
  const scratch_dir scratch;
  const review_files files(scratch.path());
  const auto refused = [&](const std::string& message) {
    refuses_cleanly(scratch.path(), files.run(scratch.path() / "run"), message);
  };
  const auto holding = [&](const fs::path& file, const std::string& content,
                           const std::string& message) {
    const auto good = bytes_of(file);
    write_text(file, content);
    refused(message);
    write_text(file, good);
  };
  const auto train = files.train(), corpus = files.corpus();
  holding(train, "", "train.tsv:1: expected a header line.*got an empty file");
  holding(train, "sentence\tlabel\n", "train.tsv:2: expected at least one example");
  holding(files.dev(), "text\tlabel\na film\t1\n",
          "dev.tsv:1: expected a header line with one column 'sentence', got 'text' and 'label'");
  holding(train, "sentence\tlabel\na film\t1\nanother film\n",
          "train.tsv:3: expected 2 fields separated by tabs, got 1");
  holding(train, "sentence\tlabel\na film\t1\nanother film\tgood\n",
          "train.tsv:3: expected label '0' or '1', got 'good'");
  holding(train, "sentence\tlabel\na film\t1\nan\xFFother film\t0\n",
          "train.tsv:3: expected UTF-8 text, got an invalid byte at column 3");
  holding(corpus, "\n\n", "corpus.txt:1: expected text, got an empty file");
  holding(corpus, "terrible great, terrible great, terrible great, terrible great\n",
          "expected a corpus of at least 33 tokens.*got [0-9]+");
  holding(corpus, "A film.\n\nAnother \xC3\n", "corpus.txt:3: expected UTF-8 text");
  holding(corpus, "\x1F\x8B that is not gzip", "corpus.txt: the gzip data is damaged");
  fs::remove(corpus);
  refused("corpus.txt': No such file");
  fs::remove(train);
  fs::create_directory(train);
  refused("train.tsv': not a regular file");
  fs::remove(files.dev());
  fs::remove(train);
  refused("cannot find 'train.tsv' in '.*data'");
}

TEST_CASE("settings that are wrong or contradict themselves") {
  const scratch_dir scratch;
  const review_files files(scratch.path());
  const auto out = scratch.path() / "run";
  const auto set = [&](const std::string& setting, const std::string& message) {
    INFO(setting);
    refuses_cleanly(scratch.path(), files.run(out) + words{setting}, message);
  };
  set("base.stepps=3", "--set: unknown key 'base.stepps', expected one of .*steps");
  set("base.steps=many", "'base.steps': expected a non-negative integer, got \"many\"");
  set("base.steps=-1", "'base.steps': expected a non-negative integer, got -1");
  set("base.steps=null", "--set: expected a value, got 'base.steps=null'");
  set("base=5", "--set: key 'base': expected an object, got 5");
  set("data=5", "'data': expected an object, got 5");
  set("base.sort_by_length=1", "'base.sort_by_length': expected true or false, got 1");
  set("base.schedule=round", "'base.schedule': expected one of constant, linear, cosine");
  set("base.learning_rate=0", "stage base: .*learning_rate must be positive");
  set("base.learning_rate=-0.1", "stage base: .*learning_rate must be positive");
  set("base.length=500", "stage base: length 500 exceeds max_position_embeddings 128");
  set("base.save_every=0", "stage base: save_every must be positive");
  set("bitdistill.steps=0", "stage bitdistill: .*steps must be positive");
  set("bitdistill.warmup=2", "stage bitdistill: warmup must lie between 0 and 1");
  set("bitdistill.losses.relations.layer=2",
      "relations: layer 2 is not one of the 2 layers of the student");
  set("bitdistill.losses.relations.layer=last",
      "losses.relations.layer': expected an integer or \"auto\", got \"last\"");
  set("bitdistill.losses.relations.split_heads=3", "split_heads 3 does not divide");
  set("bitdistill.losses.relations.n_layers=0", "relations.n_layers must be positive");
  set("bitdistill.losses.relations.clamp=-1", "relations.clamp must not be negative");
  set("bitdistill.losses.logits.tau=0", "logits.tau must be positive");
  set("model.head_dim=7", "head_dim");
  set("model.num_key_value_heads=3", "num_key_value_heads");
  set("model.num_hidden_layers=0", "num_hidden_layers");
  set("data.vocab_size=3", "data.vocab_size must be at least 257, got 3");
  set("nonsense", "expected key=value, got 'nonsense'");
  set("~=1", "--set: unknown key '~'");
  set("data.prompt=\xFF", "UTF-8");
  set("data.prompt_tokens=1", "data.prompt_tokens must lie between 2 and");
  set("data.answer_tokens=0", "data.answer_tokens must be positive");
  set("data.metrics=[\"rouge9\"]", "unknown metric 'rouge9', expected one of accuracy");

  const auto config = scratch.path() / "config.json";
  const auto file = [&](const std::string& text, const std::string& message) {
    write_text(config, text);
    INFO(text);
    refuses_cleanly(scratch.path(), files.run(out) + words{"--recipe", config.string()}, message);
  };
  file("", "config.json: not valid JSON");
  file("{\"data\": {\"task\": 3}", "config.json: not valid JSON: .*line 1");
  file("[]", "config.json: expected an object, got \\[\\]");
  file("{\"stages\": [{\"seed\": \"one\"}]}",
       "config.json: key 'stages\\[0\\].seed': expected a non-negative integer, got \"one\"");
  file("{\"seeds\": 1}", "config.json: unknown key 'seeds'");
  file("{\"title\": \"a\", \"title\": \"b\"}", "config.json: key \"title\" stands twice");
  file("{\"data\": {\"task\": 5}}", "config.json: key 'data.task': expected a string, got 5");
}

TEST_CASE("recipes that could not run to their end") {
  const scratch_dir scratch;
  const review_files files(scratch.path());
  const auto out = scratch.path() / "run", recipe = scratch.path() / "own.json";
  const auto refused = [&](const std::string& text, const words& more, const std::string& message) {
    INFO(text);
    write_text(recipe, text);
    refuses_cleanly(scratch.path(),
                    words{"run", "--out", out.string(), "--recipe", recipe.string()} + more,
                    message);
  };
  const words corpus{"--corpus", files.corpus().string()};
  const words task{"--task", "sst2", "--data", files.directory.string()};
  refused("{}", task, "recipe: expected at least one stage");
  refused(R"({"extends": "text", "stages": [{"name": "a", "like": "pretraining", "row": "A"}]})",
          corpus, "run needs --task");
  refused(R"({"extends": "text", "stages": [{"name": "a", "like": "finetuning"}]})", task,
          "run needs --corpus or --tokenizer");
  refused(R"({"extends": "text", "stages": [{"name": "a", "like": "finetuning"},
              {"name": "b", "like": "finetuning", "from": "./model"}]})",
          task + corpus, "own.json: stages start from 'new' and from './model'");
  const auto distilled = [](const std::string& losses) {
    return R"({"extends": "text", "data": {"unlabelled": ["more.txt"]}, "stages": [
              {"name": "a", "like": "pretraining"}, {"name": "b", "like": "few_tokens", "from": "a",
               "teacher": "a", "losses": )" +
           losses + "}]}";
  };
  refused(distilled("{}"), task + corpus, "stage b: 'unlabelled': the loss cross_entropy needs");
  refused(distilled(R"({"cross_entropy": null})"), task + corpus, "more.txt': No such file");
  refused(R"({"extends": "demo", "data": {"unlabelled": ["more.txt"]}})", {"--task", "microworld"},
          "data.unlabelled: the task microworld makes its own inputs");
  refused(R"({"extends": "demo", "data": {"dev_examples": 0, "test_examples": 0}})",
          {"--task", "microworld"}, "data.dev_examples must be positive, since 0 means all");
}

TEST_CASE("a command line that does not parse") {
  const scratch_dir scratch;
  refuses({}, "subcommand");
  refuses({"dance"}, "dance");
  refuses({"run", "--print-recipe", "table7"}, "there is no shipped recipe 'table7', expected one");
  refuses({"run"}, "--out is required");
  refuses({"run", "--out", (scratch.path() / "x").string(), "--task", "sst3"}, "--task");
  refuses({"demo", "--out", (scratch.path() / "x").string(), "--seed", "one"}, "--seed");
  refuses({"demo", "--out", (scratch.path() / "x").string(), "--threads", "-1"}, "--threads");
  refuses({"run", "--out", (scratch.path() / "x").string(), "--task", "sst2"}, "--data");
  CHECK(tree(scratch.path()).empty());
}

TEST_CASE("a loss that is not finite") {
  const scratch_dir scratch;
  const auto run = scratch.path() / "run";
  const auto arguments =
      tiny_demo(run) + words{"continual.learning_rate=1e30", "continual.save_every=1"};
  refuses(arguments, "not finite at step [0-9]+.*lower the learning rate");
  CHECK(run_bitdistill({"inspect", (run / "stages/bitnet-sft").string()}).code == 0);
  CHECK(run_bitdistill({"inspect", (run / "stages/continual.state").string()}).code == 0);
  refuses(arguments, "not finite at step [0-9]+");
}

TEST_CASE("a full disk") {
  const scratch_dir scratch;
  const auto run = scratch.path() / "run", whole = scratch.path() / "whole";
  const auto calls = disk_calls(scratch, whole, tiny_demo(whole));
  for (std::size_t n = 1; n <= calls.size(); n += n < 12 ? 5 : calls.size() / 5) {
    INFO("full at call " << n << ", " << calls[n - 1]);
    refuses(tiny_demo(run), "No space left on device|cannot",
            with_fault("full:" + std::to_string(n)));
    for (const auto& [name, content] : tree(run)) CHECK(!name.ends_with(".tmp"));
    REQUIRE(run_bitdistill(tiny_demo(run), with_fault("list:/dev/null")).code == 0);
    CHECK(differences(timeless(run), timeless(whole)) == words{});
    fs::remove_all(run);
  }
}

TEST_CASE("output directories that cannot be used") {
  const scratch_dir scratch;
  const review_files files(scratch.path());
  const auto out = scratch.path() / "run";
  SECTION("a run already") {
    REQUIRE(run_bitdistill(files.run(out)).code == 0);
    refuses_cleanly(scratch.path(), files.run(out) + words{"--seed", "2"}, "holds a run already");
    fs::remove(out / "table.json");
    refuses_cleanly(scratch.path(), files.run(out), "holds a run already");
  }
  SECTION("files of a run without its configuration") {
    write_text(out / "table.txt", "mine");
    refuses_cleanly(scratch.path(), files.run(out), "run' is not a run, but it holds table.txt");
    refuses_cleanly(scratch.path(), files.run(out) + words{"--resume"},
                    "run' is not a run, but it holds table.txt");
  }
  SECTION("a tokenizer that is another's") {
    write_text(out / "tokenizer.json", "mine");
    refuses_cleanly(scratch.path(), files.run(out),
                    "run' is not a run, but it holds tokenizer.json");
  }
  SECTION("a file") {
    write_text(out, "a file");
    refuses_cleanly(scratch.path(), files.run(out), "cannot make '.*run'");
    refuses_cleanly(scratch.path(), files.run(out / "deeper"), "cannot make '.*deeper'");
  }
  SECTION("not writable") {
    if (::geteuid() == 0)  // may write wherever one can write
      return refuses(files.run("/proc/tern-run"), "cannot make '/proc/tern-run");
    fs::create_directory(out);
    fs::permissions(out, fs::perms::owner_read | fs::perms::owner_exec);
    refuses_cleanly(scratch.path(), files.run(out), "Permission denied");
    fs::permissions(out, fs::perms::owner_all);
  }
}

TEST_CASE("checkpoints that are damaged") {
  const scratch_dir scratch;
  const auto run = scratch.path() / "run", other = scratch.path() / "other";
  const auto calls = disk_calls(scratch, run, tiny_demo(run));
  fs::remove_all(run);
  const auto interrupt = [&](const fs::path& where, const std::string& call) {
    const auto fault = "interrupt:" + std::to_string(find_call(calls, call));
    REQUIRE(run_bitdistill(tiny_demo(where), with_fault(fault)).code == 130);
  };
  interrupt(run, "rename stages/continual.state");
  interrupt(other, "rename stages/base.state");
  const auto state = run / "stages/continual.state";
  const auto good = bytes_of(state);
  const auto holding = [&](const std::string& content, const std::string& message) {
    write_text(state, content);
    refuses_cleanly(run / "stages", tiny_demo(run), "continual.state: " + message);
  };
  holding("this is no checkpoint",
          "not a safetensors file.*: remove .*continual.state, and the stage begins");
  holding("", "not a safetensors file");
  holding(good.substr(0, good.size() - 100), ".*cut off");
  holding(flipped(good), "damaged: the checksum");
  holding(bytes_of(other / "stages/base.state"),
          "expected the state of stage 'continual', got 'base'");
  write_text(state, good);
  const auto finished = run / "stages/fp-sft/model.safetensors";
  write_text(finished, flipped(bytes_of(finished)));
  refuses(tiny_demo(run), "fp-sft/model.safetensors: damaged: the checksum");
}

TEST_CASE("model folders that lack something") {
  const scratch_dir scratch;
  const review_files files(scratch.path());
  const auto run = scratch.path() / "run", model = scratch.path() / "model";
  REQUIRE(run_bitdistill(files.run(run)).code == 0);
  fs::copy(run / "stages/base", model);
  const auto refused = [&](const std::string& message) {
    refuses_cleanly(
        scratch.path(),
        files.run(scratch.path() / "out", tiny_stages()) + words{"--model", model.string()},
        message);
  };
  const auto without = [&](const std::string& name, const std::string& message) {
    fs::rename(model / name, scratch.path() / name);
    refused(message);
    fs::rename(scratch.path() / name, model / name);
  };
  without("tokenizer.json", "model/tokenizer.json");
  without("config.json", "model/config.json': No such file");
  without("model.safetensors", "model' holds neither");
  auto bytes = bytes_of(model / "model.safetensors");
  bytes.replace(bytes.find("model.norm.weight"), 17, "model.morn.weight");
  write_text(model / "model.safetensors", bytes);
  refused("model.safetensors|no tensor 'model.norm.weight'");
  fs::remove_all(model);
  refused("model");
  refuses({"eval", "--model", model.string(), "--task", "sst2", "--data", files.directory.string()},
          "model");
  refuses({"inspect", model.string()}, "model' does not exist");
  refuses({"inspect", files.train().string()}, "train.tsv: not a safetensors file");
  refuses({"inspect", files.directory.string()}, "neither a run nor a model");
}

TEST_CASE("a tokenizer is not written over") {
  const scratch_dir scratch;
  const review_files files(scratch.path());
  const auto out = scratch.path() / "tokenizer.json";
  write_text(out, "{}");
  refuses_cleanly(scratch.path(),
                  {"tokenizer", "--corpus", files.corpus().string(), "--out", out.string()},
                  "tokenizer.json' exists");
}
