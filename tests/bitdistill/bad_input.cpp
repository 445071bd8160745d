// Whatever is wrong with the input: exit code 2, one line on stderr that names file, line and what
// was expected, and not a byte on the disk changed.
#include <regex>

#include "program.hpp"

using namespace tern_test;

namespace {

/// Runs the program, which must refuse with a line that matches `message`.
void refuses(const words& arguments, const std::string& message, const words& environment = {}) {
  const auto result = bitdistill(arguments, environment);
  INFO(result.err);
  CHECK(result.code == 2);
  CHECK(result.err.ends_with("\n"));
  CHECK(std::ranges::count(result.err, '\n') == 1);
  CHECK(std::regex_search(result.err, std::regex("^bitdistill: error: .*" + message)));
}

/// The same, and everything below `directory` stays as it is.
void refuses_cleanly(const fs::path& directory, const words& arguments,
                     const std::string& message) {
  const auto before = tree(directory);
  refuses(arguments, message);
  CHECK(differences(tree(directory), before) == words{});
}

void flip_bit(const fs::path& file, std::size_t from_end) {
  std::string bytes = bytes_of(file);
  bytes[bytes.size() - from_end] ^= 4;
  write_text(file, bytes);
}

}  // namespace

TEST_CASE("task files that are not what they must be") {
  const scratch_dir scratch;
  const review_files files(scratch.path());
  const auto out = scratch.path() / "run";
  const auto refused = [&](const std::string& message) {
    refuses_cleanly(scratch.path(), files.run(out), message);
  };
  SECTION("missing") {
    fs::remove(files.dev());
    refused("cannot find 'dev.tsv' in '.*data'");
  }
  SECTION("empty") {
    write_text(files.train(), "");
    refused("train.tsv:1: expected a header line.*got an empty file");
  }
  SECTION("header alone") {
    write_text(files.train(), "sentence\tlabel\n");
    refused("train.tsv:2: expected at least one example");
  }
  SECTION("wrong columns") {
    write_text(files.dev(), "text\tlabel\na film\t1\n");
    refused("dev.tsv:1: expected a header line with one column 'sentence', got 'text' and 'label'");
  }
  SECTION("too few fields") {
    write_text(files.train(), "sentence\tlabel\na film\t1\nanother film\n");
    refused("train.tsv:3: expected 2 fields separated by tabs, got 1");
  }
  SECTION("unknown label") {
    write_text(files.train(), "sentence\tlabel\na film\t1\nanother film\tgood\n");
    refused("train.tsv:3: expected label '0' or '1', got 'good'");
  }
  SECTION("invalid UTF-8") {
    write_text(files.train(), "sentence\tlabel\na film\t1\nan\xFFother film\t0\n");
    refused("train.tsv:3: expected UTF-8 text, got an invalid byte at column 3");
  }
  SECTION("a directory") {
    fs::remove(files.train());
    fs::create_directory(files.train());
    refused("train.tsv': not a regular file");
  }
}

TEST_CASE("corpora that are not what they must be") {
  const scratch_dir scratch;
  const review_files files(scratch.path());
  const auto out = scratch.path() / "run";
  const auto refused = [&](const std::string& message) {
    refuses_cleanly(scratch.path(), files.run(out), message);
  };
  SECTION("missing") {
    fs::remove(files.corpus());
    refused("corpus.txt': No such file");
  }
  SECTION("empty") {
    write_text(files.corpus(), "\n\n");
    refused("corpus.txt:1: expected text, got an empty file");
  }
  SECTION("too short") {
    write_text(files.corpus(), "terrible great, terrible great, terrible great, terrible great\n");
    refused("expected a corpus of at least 33 tokens.*got [0-9]+");
  }
  SECTION("invalid UTF-8") {
    write_text(files.corpus(), "A film.\n\nAnother \xC3\n");
    refused("corpus.txt:3: expected UTF-8 text");
  }
  SECTION("damaged gzip") {
    write_text(files.corpus(), "\x1F\x8B that is not gzip");
    refused("corpus.txt: the gzip data is damaged");
  }
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
  set("base=5", "'base': expected an object, got 5");
  set("data=5", "expected an object, got 5");
  set("data.ternary=1", "'data.ternary': expected true or false, got 1");
  set("base.schedule=round", "'base.schedule': expected one of constant, linear, cosine");
  set("base.learning_rate=0", "stage base: .*learning_rate must be positive");
  set("base.learning_rate=-0.1", "stage base: .*learning_rate must be positive");
  set("base.length=500", "stage base: length 500 exceeds max_position_embeddings 128");
  set("save_every=0", "save_every and log_every must be positive");
  set("student.steps=0", "stage bitdistill: .*steps must be positive");
  set("student.warmup=2", "stage bitdistill: warmup must lie between 0 and 1");
  set("distil_layer=2", "distil_layer 2 is not one of the 2 layers");
  set("objective.split_heads=3", "split_heads 3 does not divide");
  set("objective.tau=0", "tau and temperature must be positive");
  set("model.head_dim=7", "head_dim");
  set("model.num_key_value_heads=3", "num_key_value_heads");
  set("model.num_hidden_layers=0", "num_hidden_layers");
  set("vocab_size=3", "3");
  set("nonsense", "expected key=value, got 'nonsense'");
  set("~=1", "--set: unknown key '~'");
  set("data.prompt=\xFF", "UTF-8");

  const auto config = scratch.path() / "config.json";
  const auto file = [&](const std::string& text, const std::string& message) {
    write_text(config, text);
    INFO(text);
    refuses_cleanly(scratch.path(), files.run(out) + words{"--run-config", config.string()},
                    message);
  };
  file("", "config.json: not valid JSON");
  file("{\"base\": {\"steps\": 3}", "config.json: not valid JSON: .*line 1");
  file("[]", "config.json: expected an object, got \\[\\]");
  file("{\"seed\": \"one\"}",
       "config.json: key 'seed': expected a non-negative integer, got \"one\"");
  file("{\"seeds\": 1}", "config.json: unknown key 'seeds'");
  file("{\"seed\": 1, \"seed\": 2}", "config.json: key \"seed\" stands twice");
  file("{\"task\": 5}", "config.json: key 'task': expected a string, got 5");
}

TEST_CASE("a command line that does not parse") {
  const scratch_dir scratch;
  refuses({}, "subcommand");
  refuses({"dance"}, "dance");
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
  const auto arguments = tiny_demo(run) + words{"continual.learning_rate=1e30", "save_every=1"};
  refuses(arguments, "not finite at step [0-9]+.*lower the learning rate");
  CHECK(bitdistill({"inspect", (run / "stages/bitnet-sft").string()}).code == 0);
  CHECK(bitdistill({"inspect", (run / "stages/continual.state").string()}).code == 0);
  refuses(arguments, "not finite at step [0-9]+");
}

TEST_CASE("a full disk") {
  const scratch_dir scratch;
  const auto run = scratch.path() / "run", whole = scratch.path() / "whole";
  const auto list = scratch.path() / "calls";
  REQUIRE(bitdistill(tiny_demo(whole), with_fault("list:" + list.string())).code == 0);
  const auto calls = lines_of(bytes_of(list));
  for (std::size_t n = 1; n <= calls.size(); n += n < 12 ? 5 : calls.size() / 5) {
    INFO("full at call " << n << ", " << calls[n - 1]);
    refuses(tiny_demo(run), "No space left on device|cannot",
            with_fault("full:" + std::to_string(n)));
    for (const auto& [name, content] : tree(run)) CHECK(!name.ends_with(".tmp"));
    REQUIRE(bitdistill(tiny_demo(run), with_fault("list:/dev/null")).code == 0);
    CHECK(differences(timeless(run), timeless(whole)) == words{});
    fs::remove_all(run);
  }
}

TEST_CASE("output directories that cannot be used") {
  const scratch_dir scratch;
  const review_files files(scratch.path());
  const auto out = scratch.path() / "run";
  SECTION("a run already") {
    REQUIRE(bitdistill(files.run(out)).code == 0);
    refuses_cleanly(scratch.path(), files.run(out) + words{"seed=2"}, "holds a run already");
    refuses_cleanly(scratch.path(), files.run(out) + words{"seed=2", "--resume"},
                    "config.json: cannot resume with another configuration: '/seed' differs");
    fs::remove(out / "table.json");
    refuses_cleanly(scratch.path(), files.run(out), "holds a run already");
  }
  SECTION("files of a run without its configuration") {
    write_text(out / "table.txt", "mine");
    refuses_cleanly(scratch.path(), files.run(out), "run' is not a run, yet holds table.txt");
    refuses_cleanly(scratch.path(), files.run(out) + words{"--resume"},
                    "run' is not a run, yet holds table.txt");
  }
  SECTION("a tokenizer that is another's") {
    write_text(out / "tokenizer.json", "mine");
    refuses_cleanly(scratch.path(), files.run(out), "run' is not a run, yet holds tokenizer.json");
  }
  SECTION("a file") {
    write_text(out, "a file");
    refuses_cleanly(scratch.path(), files.run(out), "cannot make '.*run'");
  }
  SECTION("below a file") {
    write_text(out, "a file");
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
  const auto run = scratch.path() / "run";
  const auto list = scratch.path() / "calls";
  REQUIRE(bitdistill(tiny_demo(run), with_fault("list:" + list.string())).code == 0);
  std::size_t n = 0;
  const auto calls = lines_of(bytes_of(list));
  for (std::size_t i = 0; i < calls.size(); ++i)
    if (calls[i].ends_with("/continual.state")) n = i + 1;
  fs::remove_all(run);
  REQUIRE(bitdistill(tiny_demo(run), with_fault("interrupt:" + std::to_string(n))).code == 130);
  const auto state = run / "stages/continual.state";
  REQUIRE(fs::exists(state));
  const auto refused = [&](const std::string& message) {
    refuses_cleanly(run / "stages", tiny_demo(run), message);
  };
  SECTION("not a checkpoint") {
    write_text(state, "this is no checkpoint");
    refused("continual.state: not a safetensors file");
  }
  SECTION("empty") {
    write_text(state, "");
    refused("continual.state: not a safetensors file");
  }
  SECTION("cut off") {
    fs::resize_file(state, fs::file_size(state) - 100);
    refused("continual.state: .*cut off");
  }
  SECTION("one bit of a weight") {
    flip_bit(state, 1000);
    refused("continual.state: damaged: the checksum");
  }
  SECTION("another stage's") {
    const auto other = scratch.path() / "other";
    REQUIRE(bitdistill(tiny_demo(other), with_fault("interrupt:100")).code == 130);
    fs::copy(other / "stages/base.state", state, fs::copy_options::overwrite_existing);
    refused("continual.state: expected the state of stage 'continual', got 'base'");
  }
  SECTION("one bit of a finished stage") {
    flip_bit(run / "stages/fp-sft/model.safetensors", 1000);
    refuses(tiny_demo(run), "fp-sft/model.safetensors: damaged: the checksum");
  }
}

TEST_CASE("model folders that lack something") {
  const scratch_dir scratch;
  const review_files files(scratch.path());
  const auto run = scratch.path() / "run", out = scratch.path() / "out";
  REQUIRE(bitdistill(files.run(run)).code == 0);
  const auto model = scratch.path() / "model";
  fs::copy(run / "stages/base", model);
  const auto arguments = files.run(out) + words{"--model", model.string()};
  SECTION("tokenizer") {
    fs::remove(model / "tokenizer.json");
    refuses_cleanly(scratch.path(), arguments, "model/tokenizer.json: cannot open");
  }
  SECTION("config") {
    fs::remove(model / "config.json");
    refuses_cleanly(scratch.path(), arguments, "model/config.json': No such file");
  }
  SECTION("weights") {
    fs::remove(model / "model.safetensors");
    refuses_cleanly(scratch.path(), arguments, "model' holds neither");
  }
  SECTION("a tensor") {
    auto bytes = bytes_of(model / "model.safetensors");
    bytes.replace(bytes.find("model.norm.weight"), 17, "model.morn.weight");
    write_text(model / "model.safetensors", bytes);
    refuses_cleanly(scratch.path(), arguments, "model.safetensors|no tensor 'model.norm.weight'");
  }
  SECTION("the folder") {
    fs::remove_all(model);
    refuses_cleanly(scratch.path(), arguments, "model");
  }
  SECTION("what eval and inspect need") {
    refuses({"eval", "--model", (scratch.path() / "none").string(), "--task", "sst2", "--data",
             files.directory.string()},
            "none");
    refuses({"inspect", (scratch.path() / "none").string()}, "none' does not exist");
    refuses({"inspect", files.train().string()}, "train.tsv: not a safetensors file");
    refuses({"inspect", files.directory.string()}, "neither a run nor a model");
  }
}

TEST_CASE("a tokenizer is not written over") {
  const scratch_dir scratch;
  const review_files files(scratch.path());
  refuses_cleanly(
      scratch.path(),
      {"tokenizer", "--corpus", files.corpus().string(), "--out", files.train().string()},
      "train.tsv' exists");
}
