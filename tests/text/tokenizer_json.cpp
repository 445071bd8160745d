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

/// Checks that loading fails with a message that names the file and contains `part`.
void refused(const std::string& content, const std::string& part) {
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

void refused(void (*change)(json&), const std::string& part) {
  auto file = minimal();
  change(file);
  refused(file.dump(), part);
}

}  // namespace

TEST_CASE("merges are read in both spellings", "[text]") {
  auto file = minimal();
  CHECK(written(file.dump()).load().encode("a ab<e>") == ids{0, 2, 3, 4});
  file["model"]["merges"] = json::array({json::array({"\u0120", "a"})});
  CHECK(written(file.dump()).load().encode("a ab<e>") == ids{0, 2, 3, 4});
  file["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}}}};
  CHECK(written(file.dump()).load().definition().normalizer.size() == 1);
  file["normalizer"] = nullptr;
  CHECK(written(file.dump()).load().definition().normalizer.empty());
}

TEST_CASE("a saved tokenizer is loaded again", "[text]") {
  tern::bpe_train_options options{.vocab_size = 290, .special_tokens = {"<|e|>", "\u2581x y"}};
  for (const bool whole : {false, true})
    for (const bool nfc : {false, true})
      for (const std::string& pattern : {std::string(tern::qwen2_pattern), std::string()}) {
        options.nfc = nfc;
        options.pattern = pattern;
        auto definition =
            tern::bpe_tokenizer::train("the \"cat\" sat on the \\mat the cat", options)
                .definition();
        definition.whole_words = whole;
        const tern::bpe_tokenizer t(std::move(definition));
        const tern_test::scratch_dir scratch;
        const auto path = scratch.path() / "t.json";
        t.save(path);
        t.save(path);  // replaces the old file
        CHECK(tern::bpe_tokenizer::load(path).definition() == t.definition());
        const auto files = std::filesystem::directory_iterator(scratch.path());
        CHECK(std::distance(begin(files), end(files)) == 1);
      }
}

TEST_CASE("a file that cannot be read or written is refused", "[text]") {
  const tern_test::scratch_dir scratch;
  CHECK_THROWS_AS(tern::bpe_tokenizer::load(scratch.path() / "none.json"), tern::io_error);
  CHECK_THROWS_AS(tern::bpe_tokenizer::load(scratch.path()), tern::io_error);
  const auto t = tern::bpe_tokenizer::train("a", {.vocab_size = 256});
  CHECK_THROWS_AS(t.save(scratch.path() / "no folder" / "t.json"), tern::io_error);
}

TEST_CASE("a file that is no supported tokenizer of bytes is refused", "[text]") {
  refused("", "not valid JSON");
  refused("{\"model\": ", "not valid JSON");
  refused("[]", "expected an object");
  refused("{}", "model: expected type BPE, got null");
  refused([](json& f) { f["normalizer"]["type"] = "Lowercase"; },
          "key 'normalizer.type': expected NFC, Replace or Prepend, got \"Lowercase\"");
  refused([](json& f) { f["pre_tokenizer"]["type"] = "Whitespace"; }, "got \"Whitespace\"");
  refused([](json& f) { f["model"]["type"] = "Unigram"; }, "expected type BPE, got Unigram");
  refused([](json& f) { f["model"]["byte_fallback"] = true; }, "byte_fallback");
  refused([](json& f) { f["model"]["vocab"] = json::array(); }, "model.vocab");
  refused([](json& f) { f.erase("model"); }, "expected type BPE, got null");
  refused([](json& f) { f["added_tokens"][0]["lstrip"] = 7; }, "lstrip");
  refused([](json& f) { f["added_tokens"][0].erase("id"); },
          "key 'added_tokens[0].id': expected a value, got nothing");
  refused([](json& f) { f["added_tokens"][0]["content"] = 7; },
          "key 'added_tokens[0].content': expected a string, got 7");
  refused([](json& f) { f["added_tokens"] = 7; },
          "key 'added_tokens': expected a list of objects, got 7");
  refused([](json& f) { f["added_tokens"][0] = 7; },
          "key 'added_tokens[0]': expected an object, got 7");
  refused([](json& f) { f["model"]["ignore_merges"] = "no"; },
          "key 'model.ignore_merges': expected true or false, got \"no\"");
  refused([](json& f) { f["pre_tokenizer"]["use_regex"] = 7; }, "expected true or false, got 7");
}

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

void refused_characters(void (*change)(json&), const std::string& part) {
  auto file = of_characters();
  change(file);
  refused(file.dump(), part);
}

TEST_CASE("a file that is no supported tokenizer of characters is refused", "[text]") {
  const auto t = written(of_characters().dump()).load();
  CHECK(t.encode("a a!", tern::added_text::recognise, tern::special_tokens::add) ==
        ids{0, 1, 3, 4});
  CHECK(t.decode(ids{1, 3, 4}) == "a a!");
  CHECK(t.encode("a?") == t.encode("a"));  // there is no token, no byte and no <unk> for it

  const auto bad = refused_characters;
  bad(
      [](json& f) {
        f["normalizer"]["pattern"] = {{"Regex", " "}};
      },
      "key 'normalizer.pattern.String': expected a value, got nothing");
  bad([](json& f) { f["normalizer"]["pattern"]["String"] = ""; }, "normalizer.pattern");
  bad(
      [](json& f) {
        f["normalizer"] = {{"type", "Sequence"}};
      },
      "key 'normalizer.normalizers': expected a value");
  bad(
      [](json& f) {
        f["normalizer"] = {{"type", "Sequence"}, {"normalizers", {f["normalizer"], 7}}};
      },
      "key 'normalizer.normalizers[1]': expected an object, got 7");
  bad(
      [](json& f) {
        f["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "_"}};
      },
      "key 'pre_tokenizer.replacement': expected U+2581");
  bad(
      [](json& f) {
        f["pre_tokenizer"] = {{"type", "Metaspace"}, {"prepend_scheme", "odd"}};
      },
      "expected one of always, first, never, got \"odd\"");
  bad(
      [](json& f) {
        f["pre_tokenizer"] = {
            {"type", "Split"}, {"pattern", {{"Regex", "(["}}}, {"behavior", "Isolated"}};
      },
      "pattern \"([\"");
  bad([](json& f) { f["decoder"]["decoders"][1]["type"] = "WordPiece"; },
      "key 'decoder.decoders[1].type': expected Replace, ByteFallback, Fuse, Strip");
  bad([](json& f) { std::swap(f["decoder"]["decoders"][0], f["decoder"]["decoders"][1]); },
      "in this order");
  bad([](json& f) { f["post_processor"]["type"] = "BertProcessing"; },
      "key 'post_processor.type': expected TemplateProcessing or ByteLevel");
  bad([](json& f) { f["post_processor"]["special_tokens"] = json::object(); },
      "key 'post_processor.special_tokens.<s>': expected a value");
  bad([](json& f) { f["post_processor"]["special_tokens"]["<s>"]["ids"] = {5}; }, "id 5 is not in");
  bad([](json& f) { f["post_processor"]["single"].erase(1); }, "expected a Sequence A");
  bad([](json& f) { f["model"]["unk_token"] = "<unk>"; },
      "key 'model.unk_token': expected a token of the vocabulary");
  bad([](json& f) { f["model"]["dropout"] = 0.1; }, "key 'model.dropout'");
  bad([](json& f) { f["model"]["end_of_word_suffix"] = "</w>"; }, "end_of_word_suffix");
  bad(
      [](json& f) {
        f["pre_tokenizer"] = {{"type", "ByteLevel"}};
        f["decoder"] = nullptr;
        f["model"]["vocab"] = {{"a", 1}};
      },
      "key 'model.byte_fallback'");
}

TEST_CASE("merges and ids that cannot be are refused", "[text]") {
  const auto bad = refused_characters;
  bad(
      [](json& f) {
        f["model"]["vocab"][""] = 5;
        f["model"]["merges"][0] = {"", "a"};
      },
      "no such token");
  bad([](json& f) { f["model"]["merges"][0] = {"a", "a"}; }, "is not in the vocabulary");
  bad([](json& f) { f["model"]["merges"][0] = {"a", "b"}; }, "merges[0]: unknown token \"b\"");
  bad([](json& f) { f["model"]["vocab"]["b"] = 1; }, "model.vocab");
  bad([](json& f) { f["model"]["vocab"]["b"] = 1u << 30; }, "expected a token id");
  bad([](json& f) { f["added_tokens"][0]["id"] = 1u << 30; }, "added_tokens[0].id");
  bad([](json& f) { f["added_tokens"][0]["content"] = ""; }, "is empty");
  refused("{\"model\": {\"type\": \"\xC3\"}}", "not valid JSON");
  refused(R"({"model": {"type": "\ud800"}})", "not valid JSON");

  auto hole = of_characters();  // an id without text, as real vocabularies have
  hole["model"]["vocab"]["z"] = 9;
  const auto t = written(hole.dump()).load();
  CHECK(t.vocab_size() == 10);
  CHECK(t.decode(ids{1, 7, 9}) == "az");
}

TEST_CASE("a file that contradicts itself is refused", "[text]") {
  refused([](json& f) { f["model"]["vocab"]["b"] = 2; }, "model.vocab");
  refused([](json& f) { f["model"]["vocab"]["b"] = -1; }, "expected a token id, got -1");
  refused([](json& f) { f["model"]["vocab"]["b"] = 1u << 31; }, "expected a token id");
  refused([](json& f) { f["model"]["vocab"]["b"] = "x"; }, "expected a token id");
  refused([](json& f) { f["model"]["vocab"]["\u4e00"] = 9; }, "byte-level");
  refused([](json& f) { f["model"]["vocab"]["<e>"] = 9; }, "model.vocab: \"<e>\"");
  refused([](json& f) { f["model"]["merges"][0] = "a q"; }, "merges[0]: unknown token \"q\"");
  refused([](json& f) { f["model"]["merges"][0] = "a"; }, "merges[0]");
  refused([](json& f) { f["model"]["merges"][0] = 7; }, "merges[0]: expected");
  refused([](json& f) { f["model"]["merges"][0] = "a b"; }, "concatenation");
  refused([](json& f) { f["added_tokens"].push_back({{"id", 4}, {"content", "<f>"}}); }, "twice");
}
