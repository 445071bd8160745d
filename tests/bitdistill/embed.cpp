// The command embed, with the tiny embedding models of tests/oracle/embedding.py.
#include <array>
#include <cmath>
#include <cstring>
#include <sstream>

#include "tern/core/mapped_file.hpp"
#include "tern/io/safetensors.hpp"
#include "tests/bitdistill/model_folder.hpp"

using namespace tern_test;

namespace {

const fs::path embedding_folder =
    fs::path(__FILE__).parent_path().parent_path() / "oracle" / "embedding_qwen3_tiny";
const std::string embedding_texts = (embedding_folder / "texts.txt").string();

outcome embed_lines(const words& options, const std::string& input = embedding_texts,
                    const std::string& model = embedding_folder.string()) {
  return run_bitdistill(words{"embed", "--model", model} + options, {}, {}, nullptr, input.c_str());
}

std::vector<float> expected_embeddings(const char* file = "expected.safetensors") {
  const tern::safetensors_file expected(embedding_folder / file);
  return tern::read_values<float>(expected.at("embeddings"));
}

void check_near(const std::vector<float>& got, const std::vector<float>& want) {
  REQUIRE(got.size() == want.size());
  // A row of activations may be rounded otherwise in single precision, which changes a code by one.
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i] - want[i]) < 0.02f);
}

/// The numbers of all objects that --json prints.
std::vector<float> json_embeddings(const outcome& result) {
  std::vector<float> all;
  for (const auto& line : lines_of(result.out)) {
    const auto object = nlohmann::json::parse(line);
    for (const auto& x : object.at("embedding")) all.push_back(x.get<float>());
  }
  return all;
}

}  // namespace

TEST_CASE("embed prints an object for each line with --json") {
  const auto result = embed_lines({"--json"});
  INFO(result.err);
  REQUIRE(result.code == 0);
  CHECK(result.err.empty());
  const auto lines = lines_of(result.out);
  REQUIRE(lines.size() == 4);
  const auto second = nlohmann::json::parse(lines[1]);
  CHECK(second.at("index") == 1);
  CHECK(second.at("tokens") == 2);
  check_near(json_embeddings(result), expected_embeddings());
}

TEST_CASE("embed reads GGUF files, too") {
  const auto result =
      embed_lines({"--json"}, embedding_texts, (embedding_folder / "model.gguf").string());
  INFO(result.err);
  REQUIRE(result.code == 0);
  check_near(json_embeddings(result), expected_embeddings("expected_gguf.safetensors"));
}

TEST_CASE("embed prints the same numbers as text and as an array of NumPy") {
  const scratch_dir scratch;
  const auto want = json_embeddings(embed_lines({"--json"}));
  std::vector<float> printed;
  for (const auto& line : lines_of(embed_lines({"--threads", "2"}).out)) {
    std::istringstream numbers(line);
    for (std::string x; numbers >> x;) printed.push_back(std::stof(x));
  }
  CHECK(printed == want);
  const std::string npy = (scratch.path() / "e.npy").string();
  const auto result = embed_lines({"--out", npy});
  INFO(result.err);
  REQUIRE(result.code == 0);
  const tern::mapped_file file(npy);
  const std::string_view header = file.text().substr(0, 128);
  CHECK(header.starts_with(std::string_view("\x93NUMPY\x01\x00\x76\x00", 10)));
  CHECK(header.find("{'descr': '<f4', 'fortran_order': False, 'shape': (4, 16), }") != header.npos);
  CHECK(header.ends_with(" \n"));
  std::vector<float> stored(want.size());
  REQUIRE(file.text().size() == 128 + stored.size() * sizeof(float));
  std::memcpy(stored.data(), file.text().data() + 128, stored.size() * sizeof(float));
  CHECK(stored == want);
}

TEST_CASE("options of embed count more than the files of the model") {
  const auto last = json_embeddings(embed_lines({"--json"}));
  const auto mean = json_embeddings(embed_lines({"--json", "--pooling", "mean"}));
  CHECK(mean != last);
  const auto plain = json_embeddings(embed_lines({"--json", "--norm", "none"}));
  double squares = 0, length = 0;
  for (std::size_t i = 0; i < 16; ++i) {
    squares += static_cast<double>(plain[i]) * static_cast<double>(plain[i]);
    length += static_cast<double>(last[i]) * static_cast<double>(last[i]);
  }
  CHECK(std::abs(squares - 1) > 0.1);
  CHECK(length == Approx(1));
}

TEST_CASE("embed says that it guesses where no file of the model says how to pool") {
  const scratch_dir scratch;
  const auto model = byte_model(scratch.path());
  const auto result = embed_lines({"--json"}, embedding_texts, model);
  CHECK(result.code == 0);
  CHECK(result.err.find("note: " + model + ": no file says how") != result.err.npos);
  CHECK(embed_lines({"--json", "--pooling", "last"}, embedding_texts, model).err.empty());
}

TEST_CASE("embed refuses lines that it cannot embed, and outputs that it does not write") {
  const scratch_dir scratch;
  const auto [name, options, input, message] =
      GENERATE(table<std::string, words, std::string, std::string>({
          {"too long",
           {},
           "a\n" + std::string(70, 'b') + "\n",
           "line 2 of the standard input has 71 tokens; the model reads at most 64"},
          {"no UTF-8", {}, "\xff\n", "line 1 of the standard input is not UTF-8"},
          {"two outputs", {"--json", "--out", "x.npy"}, "", "--out does not apply with --json"},
          {"another file", {"--out", "x.json"}, "", "embed writes an array of NumPy"},
      }));
  INFO(name);
  write_text(scratch.path() / "lines", input);
  const auto result = embed_lines(options, (scratch.path() / "lines").string());
  INFO(result.err);
  CHECK(result.code == 2);
  CHECK(result.err.find(message) != result.err.npos);
}

TEST_CASE("an exported embedding model embeds the same") {
  const scratch_dir scratch;
  const std::string gguf = (embedding_folder / "model.gguf").string(),
                    again = (scratch.path() / "m.gguf").string(),
                    packed = (scratch.path() / "p").string();
  const auto want = json_embeddings(embed_lines({"--json"}, embedding_texts, gguf));
  check_accepted({"export", "--model", gguf, "--to", "gguf", "--head-bits", "16", "--out", again});
  check_accepted({"export", "--model", gguf, "--head-bits", "16", "--out", packed});
  for (const auto& model : {again, packed}) {
    INFO(model);
    const auto result = embed_lines({"--json"}, embedding_texts, model);
    CHECK(result.err.empty());
    CHECK(json_embeddings(result) == want);
  }
}
