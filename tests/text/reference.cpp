// Compares tokenizers of each kind with the reference implementation: small ones that are part of
// the tests, and files of real models if TERN_TOKENIZER_DIR has them.
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tern/text/bpe_tokenizer.hpp"
#include "tern/text/tokenizer_json.hpp"
#include "tests/support.hpp"

namespace {

using ids = std::vector<std::int32_t>;
using nlohmann::json;

const std::filesystem::path folder =
    std::filesystem::path(__FILE__).parent_path().parent_path() / "oracle" / "bpe_tokenizers";

tern::bpe_tokenizer loaded(const json& tokenizer) {
  const tern_test::scratch_dir scratch;
  std::ofstream(scratch.path() / "tokenizer.json") << tokenizer;
  return tern::bpe_tokenizer::load(scratch.path() / "tokenizer.json");
}

void check_vectors(const tern::bpe_tokenizer& t, const json& vectors) {
  using enum tern::added_text;
  auto encoder = t.encoder();
  for (const auto& v : vectors) {
    const auto text = v.at("text").get<std::string>();
    CAPTURE(text);
    const auto expected = v.at("ids").get<ids>(), with_special = v.at("special").get<ids>();
    ids got;
    encoder.encode(text, got);
    CHECK(got == expected);
    CHECK(t.encode(text, recognise, tern::special_tokens::add) == with_special);
    CHECK(t.decode(expected) == v.at("decoded").get<std::string>());
    CHECK(t.decode(with_special, true) == v.at("skipped").get<std::string>());
  }
}

}  // namespace

TEST_CASE("small tokenizers of every kind equal the reference, even after saving", "[text]") {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    CAPTURE(entry.path().string());
    std::ifstream file(entry.path());
    const auto oracle = json::parse(file);
    REQUIRE(oracle.at("vectors").size() == 18);
    const auto t = loaded(oracle.at("tokenizer"));
    check_vectors(t, oracle.at("vectors"));
    const tern_test::scratch_dir scratch;
    t.save(scratch.path() / "t.json");
    const auto again = tern::bpe_tokenizer::load(scratch.path() / "t.json");
    CHECK(again.definition() == t.definition());
    check_vectors(again, oracle.at("vectors"));
    ++count;
  }
  CHECK(count == 11);
}

TEST_CASE("a long text without spaces is merged as a whole", "[text]") {
  std::ifstream file(folder / "gemma.json");
  const auto t = loaded(json::parse(file).at("tokenizer"));
  std::string text;
  for (int i = 0; i < 20000; ++i) text += i % 7 == 0 ? "late in " : "theharbour\u6cb3";
  const auto whole = t.encode(text);
  CHECK(t.decode(whole) == text);
  auto definition = t.definition();
  definition.whole_words = true;  // so that text is not cut; no token is the whole text
  CHECK(tern::bpe_tokenizer(definition).encode(text) == whole);
}

TEST_CASE("a text is not cut where a token has a visible space inside", "[text]") {
  tern::bpe_definition d;
  d.normalizer.clear();
  d.pretokenizer.clear();
  d.tokens = {">", "\u2581", "a", "\u2581a", ">\u2581"};
  d.merges = {{0, 1}, {1, 2}};
  CHECK(tern::bpe_tokenizer(d).encode("a\u2581a>\u2581a") == ids{2, 3, 4, 2});
  d.tokens[1] = "_";  // without this token, the space may join unknown characters
  d.merges.clear();
  d.unknown = {.byte_fallback = false, .token = 0, .fuse = true};
  CHECK(tern::bpe_tokenizer(d).encode("a?\u2581?a") == ids{2, 0, 2});
}

TEST_CASE("token_text keeps the space that decode cuts from the front", "[text]") {
  std::ifstream file(folder / "llama2.json");
  const auto t = loaded(json::parse(file).at("tokenizer"));
  const auto got = t.encode("the late");
  std::string streamed;
  for (const auto id : got) streamed += t.token_text(id);
  CHECK(streamed == " the late");
  CHECK(t.decode(got) == "the late");
  CHECK(t.token_text(t.token_id("<0x0A>").value()) == "\n");
}

// Each folder holds tokenizer.json and vectors.jsonl, whose lines have text, ids, special, decoded
// and skipped.
TEST_CASE("tokenizers of real models equal the reference", "[text]") {
  const char* dir = std::getenv("TERN_TOKENIZER_DIR");
  if (dir == nullptr) {
    WARN("skipped: set TERN_TOKENIZER_DIR to folders of tokenizer.json and vectors.jsonl");
    return;
  }
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    if (!std::filesystem::exists(entry.path() / "vectors.jsonl")) continue;
    CAPTURE(entry.path().string());
    const auto t = tern::bpe_tokenizer::load(entry.path() / "tokenizer.json");
    std::ifstream file(entry.path() / "vectors.jsonl");
    auto vectors = json::array();
    for (std::string line; std::getline(file, line);) vectors.push_back(json::parse(line));
    CHECK(!vectors.empty());
    check_vectors(t, vectors);
  }
}
