// Forms of tokenizer.json that Hugging Face's library reads although they are odd. Expected ids are
// those of the Python package tokenizers 0.23.
#include <fstream>
#include <functional>

#include "tern/text/tokenizer_json.hpp"
#include "tests/support.hpp"

namespace {

using ids = std::vector<std::int32_t>;
using nlohmann::json;

json special_entry(int id, const char* content) {
  return {{"id", id}, {"content", content}, {"special", true}, {"normalized", false}};
}

/// Bytes "a", " ", " a" and "b" with the ids 0 to 3, and the added token <e> with 4.
json byte_file() {
  return {{"added_tokens", json::array({special_entry(4, "<e>")})},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
          {"model",
           {{"type", "BPE"},
            {"vocab", {{"a", 0}, {"\u0120", 1}, {"\u0120a", 2}, {"b", 3}}},
            {"merges", {"\u0120 a"}}}}};
}

struct odd_file {
  explicit odd_file(const std::function<void(json&)>& change) {
    auto file = byte_file();
    change(file);
    std::ofstream(path()) << file.dump();
    tokenizer.emplace(tern::bpe_tokenizer::load(path(), &notes));
  }
  [[nodiscard]] std::filesystem::path path() const { return scratch.path() / "tokenizer.json"; }

  tern_test::scratch_dir scratch;
  std::vector<std::string> notes;
  std::optional<tern::bpe_tokenizer> tokenizer;
};

}  // namespace

TEST_CASE("odd forms of tokenizer.json are read as Hugging Face's library reads them", "[text]") {
  using change = std::function<void(json&)>;
  const auto [name, make, expected, notes] = GENERATE(table<std::string, change, ids, std::size_t>({
      {"nothing is odd", [](json&) {}, {0, 2, 4, 3}, 0},
      {"a model without a type", [](json& f) { f["model"].erase("type"); }, {0, 2, 4, 3}, 0},
      {"an empty added token", [](json& f) { f["added_tokens"].push_back(special_entry(5, "")); },
       {0, 2, 4, 3}, 1},
      {"an added token twice: the first counts",
       [](json& f) { f["added_tokens"].push_back(special_entry(5, "<e>")); },
       {0, 2, 4, 3},
       1},
      {"an added token that the vocabulary has under another id",
       [](json& f) { f["model"]["vocab"]["<e>"] = 5; },
       {0, 2, 5, 3},
       1},
      {"an added token with the id of an entry",
       [](json& f) { f["added_tokens"][0]["id"] = 3; },
       {0, 2, 4, 3},
       1},
      {"an entry that no byte spells", [](json& f) { f["model"]["vocab"]["\u4e00 x"] = 9; },
       {0, 2, 4, 3},
       0},
      {"a merge that no text reaches",
       [](json& f) {
         f["model"]["vocab"]["\u4e00"] = 9;
         f["model"]["vocab"]["a\u4e00"] = 10;
         f["model"]["merges"].push_back("a \u4e00");
       },
       {0, 2, 4, 3},
       0},
      {"ids with holes", [](json& f) { f["model"]["vocab"]["zz"] = 20; }, {0, 2, 4, 3}, 0},
  }));
  INFO(name);
  const odd_file file(make);
  CHECK(file.tokenizer->encode("a a<e>b") == expected);
  CHECK(file.tokenizer->decode(expected) == "a a<e>b");
  CHECK(file.notes.size() == notes);
}

TEST_CASE("of two added tokens with one id, the second gets the next free id", "[text]") {
  const odd_file file([](json& f) { f["added_tokens"].push_back(special_entry(4, "<f>")); });
  CHECK(file.tokenizer->encode("<e><f>") == ids{4, 5});
  REQUIRE(file.notes.size() == 1);
  CHECK(file.notes[0].ends_with(
      "added token \"<f>\" has the id 4, which is not its own; it is read as 5"));
}

TEST_CASE("an entry that no byte spells decodes to its spelling", "[text]") {
  const odd_file file([](json& f) { f["model"]["vocab"]["\u4e00 x"] = 9; });
  CHECK(file.tokenizer->decode(ids{0, 9, 3}) == "a\u4e00 xb");
  CHECK(file.tokenizer->vocab_size() == 10);
}

TEST_CASE("an entry that no byte spells stays where a tokenizer is written", "[text]") {
  const odd_file file([](json& f) { f["model"]["vocab"]["\u4e00 x"] = 9; });
  const auto copy = file.scratch.path() / "copy.json";
  file.tokenizer->save(copy);
  CHECK(tern::bpe_tokenizer::load(copy).decode(ids{9}) == "\u4e00 x");
}

TEST_CASE("an id without a token has no text", "[text]") {
  const odd_file file([](json& f) { f["model"]["vocab"]["zz"] = 20; });
  CHECK(file.tokenizer->decode(ids{0, 7, 500, 3}) == "ab");
  CHECK(file.tokenizer->decode(ids{0, 7, 500, 3}, true) == "ab");
  CHECK(file.tokenizer->token_text(1000).empty());
  CHECK_THROWS_AS(file.tokenizer->token_text(-1), tern::config_error);
}
