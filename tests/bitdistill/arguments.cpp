// The command line: a value is text and reaches the program unchanged, numbers are checked, and
// what does not apply is refused.
#include <regex>

#include "model_folder.hpp"
#include "program.hpp"

using namespace tern_test;

namespace {

/// Tokens of the prompt, from the last line of the standard error: "3 + 0 tokens in 0.00 s".
std::size_t prompt_tokens(const outcome& result) {
  INFO(result.err);
  std::smatch found;
  REQUIRE(std::regex_search(result.err, found, std::regex("([0-9]+) \\+ 0 tokens in ")));
  return std::stoul(found[1]);
}

}  // namespace

TEST_CASE("a prompt is text, whatever it looks like") {
  const auto prompt =
      GENERATE("[INST] a [/INST]", "[a,b]", "[a]", "{a}", "-1", "- a", "--a b", "--", "-", "a=b",
               "=a", "==", "--prompt-=x", "/a", "\"a\"", "%%", "[]");
  CAPTURE(prompt);
  const scratch_dir scratch;
  const words model{"generate", "--model", byte_model(scratch.path()), "--max-tokens", "0"};
  const std::string text = prompt;
  CHECK(prompt_tokens(run_bitdistill(model + words{"--prompt", text})) == text.size());
  CHECK(prompt_tokens(run_bitdistill(model + words{"--prompt=" + text})) == text.size());
}

TEST_CASE("paths are text, whatever they look like") {
  const auto name = GENERATE("[m]", "[a,b]", "a,b", "-m", "--m", "a=b", "=m", "{m}");
  CAPTURE(name);
  const scratch_dir scratch;
  fs::rename(byte_model(scratch.path()), scratch.path() / name);
  const auto run = [&](const words& arguments) {
    return run_bitdistill(arguments, {}, scratch.path());
  };
  CHECK(run({"generate", "--max-tokens", "0", "--prompt", "a", "--model", name}).code == 0);
  CHECK(run({"inspect", "--", name}).code == 0);
}

TEST_CASE("a stop is text, whatever it looks like") {
  const scratch_dir scratch;
  const std::string model = byte_model(scratch.path());
  const words generate{"generate", "--model", model, "--prompt", "a", "--max-tokens", "8"};
  const auto all = run_bitdistill(generate).out;
  REQUIRE(all.size() > 4);
  const auto stopped = [&](const std::string& stop) {
    return run_bitdistill(generate + words{"--stop", stop}).out;
  };
  CHECK(stopped(all.substr(0, 1)) != all);
  CHECK(stopped("[" + all.substr(0, 1) + "]") == all);
  CHECK(run_bitdistill(generate + words{"--stop", "-q", "--stop", "--x", "--stop", "[,]"}).out ==
        all);
}

TEST_CASE("an unknown option or command is named, with the nearest known one") {
  const auto [arguments, message] = GENERATE(table<words, std::string>({
      {{"generate", "--modle", "m"}, "unknown option '--modle', did you mean '--model'?"},
      {{"generate", "x", "--modle"}, "unknown option '--modle', did you mean '--model'?"},
      {{"generate", "--max-token=3"}, "unknown option '--max-token', did you mean '--max-tokens'?"},
      {{"eval", "--max-tokens", "3"}, "unknown option '--max-tokens'"},
      {{"generate", "-m", "x"}, "unknown option '-m'"},
      {{"generat"}, "unknown command 'generat', did you mean 'generate'?"},
      {{"frobnicate"}, "unknown command 'frobnicate', expected one of demo, run, "},
      {{"--modle"}, "unknown option '--modle'"},
      {{"--model", "m", "eval"}, "option '--model' stands before the command"},
      {{"generate", "--prompt", "a", "cat"},
       "unexpected argument 'cat'; --prompt takes one value, so put it in quotes"},
      {{"generate", "--model", "a", "--model", "b"}, "--model is given twice"},
      {{"generate", "--model"}, "--model needs a value"},
      {{"generate", "--model", ""}, "--model needs a value, got an empty one"},
      {{"generate", "--model=", "--stop", "x"}, "--model needs a value, got an empty one"},
      {{"generate", "--model", "m", "--stop", ""}, "--stop needs a value, got an empty one"},
      {{"eval", "--model", "m", "--task", "sst2", "--label-words", "a,,b"},
       "--label-words needs a value, got an empty one"},
      {{"generate", "--model", "--prompt", "a"},
       "--model needs a value, and '--prompt' is an option; write --model=--prompt"},
      {{"generate", "--chat=yes"}, "--chat takes no value"},
  }));
  CAPTURE(arguments);
  check_refused(arguments, message);
}

TEST_CASE("numbers are decimal and within their range, and the option is named") {
  const auto [option, value, message] = GENERATE(table<std::string, std::string, std::string>({
      {"--max-tokens", "-5", "--max-tokens: expected a whole number from 0 to 16777216, got '-5'"},
      {"--max-tokens", "0x10", "--max-tokens: expected a whole number"},
      {"--max-tokens", "1e3", "--max-tokens: expected a whole number"},
      {"--max-tokens", "3.5", "--max-tokens: expected a whole number"},
      {"--max-tokens", "+3", "--max-tokens: expected a whole number"},
      {"--max-tokens", " 3", "--max-tokens: expected a whole number"},
      {"--max-tokens", "99999999999999999999", "--max-tokens: expected a whole number"},
      {"--threads", "1025", "--threads: expected a whole number from 0 to 1024, got '1025'"},
      {"--context", "1", "--context: expected a whole number from 2 to 16777216, got '1'"},
      {"--top-k", "-1", "--top-k: expected a whole number"},
      {"--seed", "-1", "--seed: expected a whole number from 0 to 2^64 - 1, got '-1'"},
      {"--temperature", "-1", "--temperature: expected a number from 0 up, got '-1'"},
      {"--temperature", "nan", "--temperature: expected a number"},
      {"--temperature", "inf", "--temperature: expected a number"},
      {"--temperature", "1e999", "--temperature: expected a number"},
      {"--temperature", "0x1p3", "--temperature: expected a number"},
      {"--temperature", "1.5x", "--temperature: expected a number"},
      {"--top-p", "0", "--top-p: expected a number above 0 up to 1, got '0'"},
      {"--min-p", "1.5", "--min-p: expected a number from 0 to 1, got '1.5'"},
      {"--repetition-penalty", "0", "--repetition-penalty: expected a number above 0, got '0'"},
  }));
  CAPTURE(option, value);
  check_refused({"generate", "--model", "m", option, value}, message);
}

TEST_CASE("leading zeros are decimal, not octal") {
  const scratch_dir scratch;
  const words generate{"generate", "--model", byte_model(scratch.path()), "--prompt", "a"};
  const auto ten = run_bitdistill(generate + words{"--max-tokens", "010"});
  INFO(ten.err);
  CHECK(ten.err.find(" + 10 tokens in ") != ten.err.npos);
}

TEST_CASE("a limit that the model does not have is refused rather than lowered") {
  const scratch_dir scratch;
  const std::string model = byte_model(scratch.path());  // reads 64 tokens
  check_refused({"generate", "--model", model, "--prompt", "a", "--context", "65"},
                "--context 65: the model reads at most 64 tokens");
  write_text(scratch.path() / "t.txt", "some text");
  check_refused({"eval", "--model", model, "--perplexity", "--window", "65", "--corpus",
                 (scratch.path() / "t.txt").string()},
                "--window 65: the model reads at most 64 tokens");
  check_refused({"bench", "--model", model, "--threads", "1", "--prompt-tokens", "65"},
                "--prompt-tokens 65: the model reads at most 64 tokens");
  check_refused({"bench", "--model", model, "--threads", "1", "--prompt-tokens", "2",
                 "--new-tokens", "5", "--context", "60"},
                "--context 60: with 5 new tokens the model reads at most 64 tokens");
}

TEST_CASE("memory follows what an answer needs, not what is allowed") {
  const scratch_dir scratch;
  const words generate{"generate", "--model",   byte_model(scratch.path(), 1u << 24),
                       "--prompt", "a",         "--context",
                       "16777216", "--threads", "1",
                       "--kv",     "f32"};
  const auto first = run_bitdistill(generate + words{"--max-tokens", "1"}).out.substr(0, 1);
  const auto result = run_bitdistill(generate + words{"--max-tokens", "16000000", "--stop", first});
  INFO(result.err);
  CHECK(result.code == 0);
  CHECK(result.kilobytes < 1'000'000);  // keys and values of all positions take 4 GB
}

TEST_CASE("an option that does not apply is refused") {
  const auto [arguments, message] = GENERATE(table<words, std::string>({
      {{"generate", "--model", "m", "--system", "s"}, "--system applies only with --chat"},
      {{"generate", "--model", "m", "--no-think"}, "--no-think applies only with --chat"},
      {{"generate", "--model", "m", "--top-p", "0.5"},
       "--top-p applies only with --temperature above 0"},
      {{"eval", "--model", "m", "--perplexity", "--task", "sst2"},
       "--task does not apply with --perplexity"},
      {{"eval", "--model", "m", "--perplexity", "--predictions", "p.jsonl"},
       "--predictions does not apply with --perplexity"},
      {{"eval", "--model", "m", "--task", "sst2", "--data", "d", "--window", "9"},
       "--window applies only with --perplexity"},
      {{"eval", "--model", "m", "--data", "d"}, "--data applies only with --task"},
      {{"eval", "--model", "m", "--task", "microworld", "--data", "d"},
       "--data does not apply to the task microworld"},
      {{"export", "--model", "m", "--out", "o", "--type", "f16"},
       "--type applies only with --to gguf"},
      {{"export", "--model", "m", "--out", "o", "--to", "gguf", "--format", "base3"},
       "--format applies only with --to packed"},
      {{"export", "--model", "m", "--out", "o", "--to", "bitnet", "--head-bits", "4"},
       "--head-bits does not apply with --to bitnet"},
      {{"bench", "--model", "m", "--format", "base3"}, "--format applies only with --shape"},
      {{"bench", "--model", "m", "--out", "o"}, "--out applies only with --shape"},
      {{"bench", "--shape", "qwen3-0.6b", "--format", "base3,two_bit", "--out", "o"},
       "--out keeps one model"},
      {{"serve", "--model", "m", "--prompt", "p"}, "--prompt applies only with --label-words"},
      {{"serve", "--model", "m", "--label-words", "a,b"},
       "--label-words applies only with --prompt"},
      {{"serve", "--model", "m", "--task", "sst2", "--labels", "a,b"},
       "--labels does not apply with --task"},
      {{"pretrain", "--model", "m", "--out", "o", "--config", "c"},
       "--config does not apply with --model"},
      {{"demo", "--quick", "--recipe", "demo"}, "--quick does not apply with --recipe"},
      {{"pretrain", "--out", "o", "--recipe", "r", "--ternary"},
       "--ternary does not apply with --recipe"},
      {{"run", "--print-recipe", "text", "--out", "o"}, "--out does not apply with --print-recipe"},
  }));
  CAPTURE(arguments);
  check_refused(arguments, message);
}

TEST_CASE("an output whose name says another kind is refused before anything is read") {
  const auto [arguments, message] = GENERATE(table<words, std::string>({
      {{"export", "--model", "m", "--out", "o.gguf"}, "--to packed makes a folder"},
      {{"export", "--model", "m", "--out", "o.GGUF", "--to", "bitnet"},
       "--to bitnet makes a folder"},
      {{"export", "--model", "m", "--out", "o.safetensors", "--to", "gguf"},
       "--to gguf makes a GGUF file"},
      {{"quantize", "--model", "m", "--out", "o.gguf"}, "quantize makes a folder"},
      {{"tokenizer", "--corpus", "c", "--out", "o.model"}, "written as a tokenizer.json"},
      {{"eval", "--model", "m", "--task", "sst2", "--data", "d", "--predictions", "p.csv"},
       "predictions are written as JSON lines"},
  }));
  CAPTURE(arguments);
  check_refused(arguments, message);
}
