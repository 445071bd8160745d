// Tests of tokenizer.json: what is written is read back, both spellings of merges are read, and
// every refusal.
#include "tern/text/tokenizer_json.hpp"

#include <fstream>

#include "tests/support.hpp"

namespace {

using ids = std::vector<std::int32_t>;
using nlohmann::json;

json minimal() {
  return {{"added_tokens", {{{"id", 4}, {"content", "<e>"}, {"special", true}}}},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
          {"model",
           {{"type", "BPE"},
            {"vocab", {{"a", 0}, {"\u0120", 1}, {"\u0120a", 2}, {"b", 3}}},
            {"merges", {"\u0120 a"}}}}};
}

class written {
 public:
  explicit written(const std::string& content) {
    std::ofstream(path(), std::ios::binary) << content;
  }
  [[nodiscard]] std::filesystem::path path() const { return scratch_.path() / "tokenizer.json"; }
  [[nodiscard]] tern::bpe_tokenizer load() const { return tern::bpe_tokenizer::load(path()); }

 private:
  tern_test::scratch_dir scratch_;
};

/// The file of a tokenizer of characters with byte fallback.
json of_characters() {
  return {
      {"added_tokens", {{{"id", 0}, {"content", "<s>"}, {"special", true}}}},
      {"normalizer", {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}}},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single", {{{"SpecialToken", {{"id", "<s>"}}}}, {{"Sequence", {{"id", "A"}}}}}},
        {"special_tokens", {{"<s>", {{"ids", {0}}}}}}}},
      {"decoder",
       {{"type", "Sequence"},
        {"decoders",
         {{{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}},
          {{"type", "ByteFallback"}},
          {{"type", "Fuse"}}}}}},
      {"model",
       {{"type", "BPE"},
        {"byte_fallback", true},
        {"vocab", {{"<s>", 0}, {"a", 1}, {"\u2581", 2}, {"\u2581a", 3}, {"<0x21>", 4}}},
        {"merges", json::array({json::array({"\u2581", "a"})})}}}};
}

/// A file that loading must refuse with a message that names the file and contains `part`.
struct refusal {
  const char* name;
  void (*change)(json&);  ///< makes a good file bad
  const char* part;

  void check(json file) const {
    change(file);
    check(file.dump());
  }
  void check(const std::string& content) const {
    INFO(name);
    const written file(content);
    try {
      static_cast<void>(file.load());
      FAIL("accepted: " << content);
    } catch (const tern::error& e) {
      const std::string message = e.what();
      CAPTURE(message, part);
      CHECK(message.find(file.path().string()) == 0);
      CHECK(message.find(part) != message.npos);
    }
  }
};

}  // namespace

TEST_CASE("merges are read in both spellings", "[text]") {
  auto file = minimal();
  CHECK(written(file.dump()).load().encode("a ab<e>") == ids{0, 2, 3, 4});
  file["model"]["merges"] = json::array({json::array({"\u0120", "a"})});
  CHECK(written(file.dump()).load().encode("a ab<e>") == ids{0, 2, 3, 4});
}

TEST_CASE("a normalizer may be a sequence or null", "[text]") {
  auto file = minimal();
  file["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}}}};
  CHECK(written(file.dump()).load().definition().normalizer.size() == 1);
  file["normalizer"] = nullptr;
  CHECK(written(file.dump()).load().definition().normalizer.empty());
}

TEST_CASE("characters are encoded by tokens, else by their bytes, else left out", "[text]") {
  const auto t = written(of_characters().dump()).load();
  CHECK(t.encode("a a!", tern::added_text::recognise, tern::special_tokens::add) ==
        ids{0, 1, 3, 4});
  CHECK(t.decode(ids{1, 3, 4}) == "a a!");
  CHECK(t.encode("a?") == t.encode("a"));  // there is no token, no byte and no <unk> for it
}

TEST_CASE("an id may have no text, as in real vocabularies", "[text]") {
  auto file = of_characters();
  file["model"]["vocab"]["z"] = 9;
  const auto t = written(file.dump()).load();
  CHECK(t.vocab_size() == 10);
  CHECK(t.decode(ids{1, 7, 9}) == "az");
}

TEST_CASE("a saved tokenizer is loaded again", "[text]") {
  const bool whole_words = GENERATE(false, true), nfc = GENERATE(false, true);
  const std::string pattern = GENERATE(std::string(tern::qwen2_pattern), std::string());
  const tern::bpe_train_options options{
      .vocab_size = 290, .special_tokens = {"<|e|>", "\u2581x y"}, .pattern = pattern, .nfc = nfc};
  auto definition =
      tern::bpe_tokenizer::train("the \"cat\" sat on the \\mat the cat", options).definition();
  definition.whole_words = whole_words;
  const tern::bpe_tokenizer t(std::move(definition));
  const tern_test::scratch_dir scratch;
  const auto path = scratch.path() / "t.json";
  t.save(path);
  t.save(path);  // replaces the old file
  CHECK(tern::bpe_tokenizer::load(path).definition() == t.definition());
  const auto files = std::filesystem::directory_iterator(scratch.path());
  CHECK(std::distance(begin(files), end(files)) == 1);
}

TEST_CASE("a file that cannot be read or written is refused", "[text]") {
  const tern_test::scratch_dir scratch;
  CHECK_THROWS_AS(tern::bpe_tokenizer::load(scratch.path() / "none.json"), tern::io_error);
  CHECK_THROWS_AS(tern::bpe_tokenizer::load(scratch.path()), tern::io_error);
  const auto t = tern::bpe_tokenizer::train("a", {.vocab_size = 256});
  CHECK_THROWS_AS(t.save(scratch.path() / "no folder" / "t.json"), tern::io_error);
}

TEST_CASE("a file that is not JSON or no tokenizer is refused", "[text]") {
  const auto [name, content, part] = GENERATE(table<const char*, const char*, const char*>({
      {"empty", "", "not valid JSON"},
      {"cut off", "{\"model\": ", "not valid JSON"},
      {"not UTF-8", "{\"model\": {\"type\": \"\xC3\"}}", "not valid JSON"},
      {"half of a surrogate pair", R"({"model": {"type": "\ud800"}})", "not valid JSON"},
      {"an array", "[]", "expected an object"},
      {"no model", "{}", "model: expected type BPE, got null"},
  }));
  refusal{name, nullptr, part}.check(std::string(content));
}

TEST_CASE("a component that is not supported is refused by name", "[text]") {
  const auto row = GENERATE(values<refusal>({
      {"normalizer", [](json& f) { f["normalizer"]["type"] = "Lowercase"; },
       "key 'normalizer.type': expected NFC, Replace or Prepend, got \"Lowercase\""},
      {"pre-tokenizer", [](json& f) { f["pre_tokenizer"]["type"] = "Whitespace"; },
       "got \"Whitespace\""},
      {"model", [](json& f) { f["model"]["type"] = "Unigram"; }, "expected type BPE, got Unigram"},
      {"byte fallback after bytes", [](json& f) { f["model"]["byte_fallback"] = true; },
       "byte_fallback"},
  }));
  row.check(minimal());
}

TEST_CASE("a member that is missing or of another type is refused by its path", "[text]") {
  const auto row = GENERATE(values<refusal>({
      {"no model", [](json& f) { f.erase("model"); }, "expected type BPE, got null"},
      {"vocab", [](json& f) { f["model"]["vocab"] = json::array(); }, "model.vocab"},
      {"lstrip", [](json& f) { f["added_tokens"][0]["lstrip"] = 7; }, "lstrip"},
      {"no id", [](json& f) { f["added_tokens"][0].erase("id"); },
       "key 'added_tokens[0].id': expected a value, got nothing"},
      {"content", [](json& f) { f["added_tokens"][0]["content"] = 7; },
       "key 'added_tokens[0].content': expected a string, got 7"},
      {"added_tokens", [](json& f) { f["added_tokens"] = 7; },
       "key 'added_tokens': expected a list of objects, got 7"},
      {"an added token", [](json& f) { f["added_tokens"][0] = 7; },
       "key 'added_tokens[0]': expected an object, got 7"},
      {"ignore_merges", [](json& f) { f["model"]["ignore_merges"] = "no"; },
       "key 'model.ignore_merges': expected true or false, got \"no\""},
      {"use_regex", [](json& f) { f["pre_tokenizer"]["use_regex"] = 7; },
       "expected true or false, got 7"},
  }));
  row.check(minimal());
}

TEST_CASE("a normalizer or pre-tokenizer of characters that cannot be is refused", "[text]") {
  const auto row = GENERATE(values<refusal>({
      {"a replaced regular expression",
       [](json& f) {
         f["normalizer"]["pattern"] = json::object({{"Regex", " "}});
       },
       "key 'normalizer.pattern.String': expected a value, got nothing"},
      {"an empty replaced string", [](json& f) { f["normalizer"]["pattern"]["String"] = ""; },
       "normalizer.pattern"},
      {"a sequence without members",
       [](json& f) {
         f["normalizer"] = json::object({{"type", "Sequence"}});
       },
       "key 'normalizer.normalizers': expected a value"},
      {"a member of a sequence that is a number",
       [](json& f) {
         f["normalizer"] = {{"type", "Sequence"}, {"normalizers", {f["normalizer"], 7}}};
       },
       "key 'normalizer.normalizers[1]': expected an object, got 7"},
      {"another visible space",
       [](json& f) {
         f["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "_"}};
       },
       "key 'pre_tokenizer.replacement': expected U+2581"},
      {"an unknown prepend_scheme",
       [](json& f) {
         f["pre_tokenizer"] = {{"type", "Metaspace"}, {"prepend_scheme", "odd"}};
       },
       "expected one of always, first, never, got \"odd\""},
      {"a pattern that is none",
       [](json& f) {
         f["pre_tokenizer"] = {
             {"type", "Split"}, {"pattern", {{"Regex", "(["}}}, {"behavior", "Isolated"}};
       },
       "pattern \"([\""},
  }));
  row.check(of_characters());
}

TEST_CASE("a decoder or post-processor of characters that cannot be is refused", "[text]") {
  const auto row = GENERATE(values<refusal>({
      {"an unknown decoder", [](json& f) { f["decoder"]["decoders"][1]["type"] = "WordPiece"; },
       "key 'decoder.decoders[1].type': expected Replace, ByteFallback, Fuse, Strip"},
      {"decoders in another order",
       [](json& f) { std::swap(f["decoder"]["decoders"][0], f["decoder"]["decoders"][1]); },
       "in this order"},
      {"an unknown post-processor", [](json& f) { f["post_processor"]["type"] = "BertProcessing"; },
       "key 'post_processor.type': expected TemplateProcessing or ByteLevel"},
      {"a special token that is not listed",
       [](json& f) { f["post_processor"]["special_tokens"] = json::object(); },
       "key 'post_processor.special_tokens.<s>': expected a value"},
      {"a special token without a token",
       [](json& f) { f["post_processor"]["special_tokens"]["<s>"]["ids"] = {5}; },
       "id 5 is not in"},
      {"a template without its text", [](json& f) { f["post_processor"]["single"].erase(1); },
       "expected a Sequence A"},
  }));
  row.check(of_characters());
}

TEST_CASE("options of a model of characters that are not supported are refused", "[text]") {
  const auto row = GENERATE(values<refusal>({
      {"an unknown token that is no token", [](json& f) { f["model"]["unk_token"] = "<unk>"; },
       "key 'model.unk_token': expected a token of the vocabulary"},
      {"dropout", [](json& f) { f["model"]["dropout"] = 0.1; }, "key 'model.dropout'"},
      {"a suffix of words", [](json& f) { f["model"]["end_of_word_suffix"] = "</w>"; },
       "end_of_word_suffix"},
      {"byte fallback after bytes",
       [](json& f) {
         f["pre_tokenizer"] = json::object({{"type", "ByteLevel"}});
         f["decoder"] = nullptr;
         f["model"]["vocab"] = json::object({{"a", 1}});
       },
       "key 'model.byte_fallback'"},
  }));
  row.check(of_characters());
}

TEST_CASE("merges and ids of characters that cannot be are refused", "[text]") {
  const auto row = GENERATE(values<refusal>({
      {"a merge of an empty token",
       [](json& f) {
         f["model"]["vocab"][""] = 5;
         f["model"]["merges"][0] = {"", "a"};
       },
       "no such token"},
      {"a merge to no token",
       [](json& f) {
         f["model"]["merges"][0] = {"a", "a"};
       },
       "is not in the vocabulary"},
      {"a merge of no token",
       [](json& f) {
         f["model"]["merges"][0] = {"a", "b"};
       },
       "merges[0]: unknown token \"b\""},
      {"an id twice", [](json& f) { f["model"]["vocab"]["b"] = 1; }, "model.vocab"},
      {"an id out of range", [](json& f) { f["model"]["vocab"]["b"] = 1u << 30; },
       "expected a token id"},
      {"an added id out of range", [](json& f) { f["added_tokens"][0]["id"] = 1u << 30; },
       "added_tokens[0].id"},
  }));
  row.check(of_characters());
}

TEST_CASE("a file of bytes that contradicts itself is refused", "[text]") {
  const auto row = GENERATE(values<refusal>({
      {"an id twice", [](json& f) { f["model"]["vocab"]["b"] = 2; }, "model.vocab"},
      {"a negative id", [](json& f) { f["model"]["vocab"]["b"] = -1; },
       "expected a token id, got -1"},
      {"an id out of range", [](json& f) { f["model"]["vocab"]["b"] = 1u << 31; },
       "expected a token id"},
      {"an id that is a string", [](json& f) { f["model"]["vocab"]["b"] = "x"; },
       "expected a token id"},
      {"a merge of no token", [](json& f) { f["model"]["merges"][0] = "a q"; },
       "merges[0]: unknown token \"q\""},
      {"a merge of one token", [](json& f) { f["model"]["merges"][0] = "a"; }, "merges[0]"},
      {"a merge that is a number", [](json& f) { f["model"]["merges"][0] = 7; },
       "merges[0]: expected"},
      {"a merge to no token", [](json& f) { f["model"]["merges"][0] = "a b"; }, "concatenation"},
  }));
  row.check(minimal());
}
