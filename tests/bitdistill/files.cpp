// Files that are called otherwise than they are, come through pipes, or cannot be used; and results
// that cannot be written.
#include <sys/stat.h>

#include <cstring>
#include <fstream>
#include <limits>
#include <regex>
#include <thread>

#include "model_folder.hpp"
#include "program.hpp"

using namespace tern_test;

namespace {

words measure_perplexity(const std::string& model, const fs::path& corpus) {
  return {"eval", "--model", model, "--perplexity", "--corpus", corpus.string(), "--json"};
}

const std::string lfs_pointer =
    "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n";

}  // namespace

TEST_CASE("a corpus is read by its content, also through a pipe") {
  const scratch_dir scratch;
  const std::string model = byte_model(scratch.path());
  const auto at = [&](const char* name) { return scratch.path() / name; };
  const std::string lines = "{\"text\": \"the cat sat\"}\n{\"text\": \"a dog\"}\n";
  write_text(at("plain.txt"), "the cat sat\n\na dog\n");
  const std::string expected = check_accepted(measure_perplexity(model, at("plain.txt"))).out;
  for (const char* name : {"a.jsonl", "a.ndjson", "a.json", "a.JSONL", "a.txt", "a"}) {
    INFO(name);
    write_text(at(name), lines);
    CHECK(check_accepted(measure_perplexity(model, at(name))).out == expected);
  }
  REQUIRE(::mkfifo(at("pipe").c_str(), 0600) == 0);
  std::thread writer([&] { std::ofstream(at("pipe")) << lines; });
  CHECK(check_accepted(measure_perplexity(model, at("pipe"))).out == expected);
  writer.join();
  write_text(at("pointer.txt"), lfs_pointer);
  check_refused(measure_perplexity(model, at("pointer.txt")), "it is a Git LFS pointer");
}

TEST_CASE("a model that is a Git LFS pointer or another kind of file is named") {
  const scratch_dir scratch;
  const std::string model = byte_model(scratch.path());
  const auto says = [&](const std::string& path, const std::string& message) {
    check_refused({"generate", "--model", path, "--prompt", "a"}, message);
  };
  write_text(scratch.path() / "x.gguf", lfs_pointer);
  says((scratch.path() / "x.gguf").string(), "expected a GGUF file, but it is a Git LFS pointer");
  write_text(scratch.path() / "x.pt", "PK\x03\x04");
  says((scratch.path() / "x.pt").string(), "it is a ZIP archive");
  says(model + "/model.safetensors", "it is a safetensors file: name the folder");
  write_text(fs::path(model) / "tokenizer.json", lfs_pointer);
  says(model, "tokenizer.json: expected JSON, but it is a Git LFS pointer");
}

TEST_CASE("a GGUF file is a model, whatever it is called") {
  const scratch_dir scratch;
  const std::string model = byte_model(scratch.path());
  const auto file = (scratch.path() / "m.gguf").string(),
             other = (scratch.path() / "blob").string();
  check_accepted({"export", "--model", model, "--to", "gguf", "--type", "f32", "--head-bits", "32",
                  "--out", file});
  fs::copy(file, other);
  const words prompt{"--prompt", "The", "--max-tokens", "3"};
  CHECK(check_accepted(words{"generate", "--model", other} + prompt).out ==
        check_accepted(words{"generate", "--model", file} + prompt).out);
}

TEST_CASE("a result that cannot be written is an error") {
  const scratch_dir scratch;
  const std::string model = byte_model(scratch.path());
  write_text(scratch.path() / "t.txt", "the cat sat");
  for (const words& arguments :
       {measure_perplexity(model, scratch.path() / "t.txt"),
        words{"bench", "--model", model, "--threads", "1", "--prompt-tokens", "2", "--new-tokens",
              "2"},
        words{"generate", "--model", model, "--prompt", "The", "--max-tokens", "3"},
        words{"inspect", model}, words{"run", "--print-recipe", "text"}, words{"--help"},
        words{"--version"}, words{"run", "--help"}}) {
    CAPTURE(arguments);
    const auto result = run_bitdistill(arguments, {}, {}, "/dev/full");
    INFO(result.err);
    CHECK(result.code == 2);
    CHECK(result.err.ends_with(
        "bitdistill: error: cannot write standard output: No space left on device\n"));
  }
}

TEST_CASE("a standard error that is closed does not matter") {
  const scratch_dir scratch;
  const std::string model = byte_model(scratch.path());
  const std::string generate = BITDISTILL_PROGRAM " generate --max-tokens 0 --prompt The --model ";
  CHECK(std::system((generate + model + " >/dev/null 2>&-").c_str()) == 0);
  CHECK(code_of(std::system((generate + "missing >/dev/null 2>&-").c_str())) == 2);
}

TEST_CASE("a prompt from the standard input is text, with or without marks of Windows") {
  const auto [prompt, code, said] = GENERATE(table<std::string, int, std::string>({
      {"The", 0, "3 + 0 tokens"},
      {"The\n", 0, "3 + 0 tokens"},
      {"\xEF\xBB\xBFThe\r\n", 0, "3 + 0 tokens"},
      {"\xFF\xFET", 2, "standard input: expected text, but it is text in UTF-16"},
  }));
  CAPTURE(prompt);
  const scratch_dir scratch;
  write_text(scratch.path() / "in", prompt);
  const std::string in = scratch.path() / "in", err = scratch.path() / "err";
  const std::string command =
      BITDISTILL_PROGRAM " generate --max-tokens 0 --model " + byte_model(scratch.path());
  CHECK(code_of(std::system((command + " <" + in + " >/dev/null 2>" + err).c_str())) == code);
  INFO(bytes_of(err));
  CHECK(bytes_of(err).find(said) != std::string::npos);
}

TEST_CASE("predictions do not overwrite a file of another kind") {
  const scratch_dir scratch;
  const std::string model = byte_model(scratch.path());
  write_text(scratch.path() / "data/dev.tsv", "sentence\tlabel\na\t0\nb\t1\n");
  const auto predict = [&](const std::string& file) {
    return words{"eval",
                 "--model",
                 model,
                 "--task",
                 "tsv",
                 "--data",
                 scratch.path() / "data",
                 "--label-words",
                 "x,y",
                 "--predictions",
                 file};
  };
  const std::string config = bytes_of(fs::path(model) / "config.json");
  check_refused(predict(model + "/config.json"), "holds no predictions");
  CHECK(bytes_of(fs::path(model) / "config.json") == config);
  check_refused(predict(scratch.path() / "missing/p.jsonl"), "missing' is no folder");
  check_refused(predict(scratch.path() / "data"), "not a regular file");
  for (int time = 0; time < 2; ++time)  // predictions may be replaced
    check_accepted(predict(scratch.path() / "p.jsonl"));
}

TEST_CASE("an answer that the context cuts off says so") {
  const scratch_dir scratch;
  const std::string model = byte_model(scratch.path());
  const words generate{"generate", "--model", model, "--prompt", "The"};
  const std::string note = "the answer was cut: prompt and answer fill the context of ";
  CHECK(check_accepted(generate + words{"--context", "6"}).err.find(note + "6 tokens") !=
        std::string::npos);
  CHECK(check_accepted(generate + words{"--max-tokens", "3"}).err.find(note) == std::string::npos);
  check_refused(generate + words{"--context", "2"},
                "the prompt has 3 tokens, but --context allows 2");
}

TEST_CASE("a weight that the target type cannot hold is refused by name, and nothing stays") {
  const scratch_dir scratch;
  const std::string model = byte_model(scratch.path());
  const auto weights = fs::path(model) / "model.safetensors";
  auto bytes = bytes_of(weights);
  const float large = 1e5f;
  std::memcpy(&bytes[bytes.size() - sizeof large], &large, sizeof large);
  bytes.replace(bytes.find("\"tern.crc32\":\"") + 14, 8, "00000000");
  write_text(weights, bytes);
  const auto out = scratch.path() / "out";
  const words to_bitnet{"export", "--model", model, "--to", "bitnet", "--out", out.string()};
  check_refused(to_bitnet, "the checksum does not fit");
  const auto header = bytes.find("\"tern.crc32\"");
  bytes.replace(header, 12, "\"other.crc3\"");  // a file of another program has no checksum
  write_text(weights, bytes);
  check_refused(to_bitnet, ": a value is not finite or too large for F16");
  CHECK_FALSE(fs::exists(out));
  const float broken = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(&bytes[bytes.size() - sizeof broken], &broken, sizeof broken);
  write_text(weights, bytes);
  check_refused({"generate", "--model", model, "--prompt", "a"}, "has a value that is not finite");
}

TEST_CASE("eval needs only the files of the part that it measures, and shows the labels") {
  const scratch_dir scratch;
  const std::string model = byte_model(scratch.path());
  const auto data = scratch.path() / "data";
  write_text(data / "test.tsv", "sentence\tlabel\na good cat\tpos\na bad cat\tneg\nx\tpos\n");
  const words eval{"eval",   "--model",     model,           "--task", "tsv",
                   "--data", data.string(), "--label-words", "two,one"};
  const auto result = check_accepted(eval);
  CHECK(result.out.find("| tsv reported | 3 examples |") != result.out.npos);
  CHECK(result.err.find("labels: neg = two, pos = one\n") != result.err.npos);
  CHECK(check_accepted(eval + words{"--part", "test"}).out.find("3 examples") != std::string::npos);
  write_text(data / "dev.tsv", "sentence\tlabel\na good cat\tpos\n");
  CHECK(check_accepted(eval + words{"--part", "dev"}).out.find("1 examples") != std::string::npos);
  check_refused(
      {"eval", "--model", model, "--task", "sst2", "--data", data.string(), "--part", "test"},
      "task sst2 has no part test");
  check_refused({"eval", "--model", model, "--task", "tsv"}, "task tsv needs --data");
}

TEST_CASE("eval --teacher tells how far a model's answers are from those of another one") {
  const scratch_dir scratch;
  const std::string model = byte_model(scratch.path() / "model");
  const auto data = scratch.path() / "data";
  for (const char* part : {"train.tsv", "test.tsv"})
    write_text(data / part, "sentence\tlabel\na good cat\tpos\na bad cat\tneg\n");
  const words eval{"eval",   "--model",     model,           "--task", "tsv",
                   "--data", data.string(), "--label-words", "two,one"};
  const auto same = check_accepted(eval + words{"--teacher", model});
  CHECK(same.out.find("KL 0.0000 nats from the teacher's answers, same favourite 100.0 %") !=
        same.out.npos);
  const auto ternary = (scratch.path() / "ternary").string();
  check_accepted({"quantize", "--model", model, "--task", "tsv", "--data", data.string(),
                  "--label-words", "two,one", "--out", ternary, "--tokens", "64"});
  const auto other = tern::parse_json(
      check_accepted(eval + words{"--teacher", ternary, "--json"}).out, "standard output");
  CHECK(other.at("divergence").get<double>() > 0);
  check_refused({"eval", "--model", model, "--perplexity", "--corpus", "x", "--teacher", model},
                "--teacher does not apply with --perplexity");
}
