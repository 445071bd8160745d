// Tokenizers inside GGUF files: a small one that is made by hand and damaged in every way, and
// those of SentencePiece and GPT-2 with the vectors of other programs.
#include "tern/checkpoint/read_gguf_tokenizer.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <sstream>

#include "tern/gguf/writer.hpp"
#include "tests/message.hpp"
#include "tests/split_at.hpp"
#include "tests/support.hpp"

namespace {

using ids = std::vector<std::int32_t>;

struct tokenized {
  std::string decoded, text;
  std::vector<std::int32_t> ids;
};

#include "tests/oracle/sentencepiece.inc"

/// A small tokenizer in the form of a file, for tests to change.
struct small {
  std::string model = "gpt2", pre = "gpt-2";
  std::vector<std::string> tokens{"a", "b", "\u0120", "\u0120a", "<e>", "[PAD]", "<u>", "7"};
  std::vector<std::int32_t> types{1, 1, 1, 1, 3, 5, 4, 1};
  std::vector<std::string> merges{"\u0120 a"};
  std::vector<float> scores;
  std::int32_t bos = 0;
  std::string architecture;

  [[nodiscard]] tern::bpe_tokenizer load(std::vector<std::string>* notes = nullptr) const {
    const tern_test::scratch_dir dir;
    const auto path = dir.path() / "t.gguf";
    tern::gguf_writer file;
    file.metadata("tokenizer.ggml.model", model);
    if (!architecture.empty()) file.metadata("general.architecture", architecture);
    if (!pre.empty()) file.metadata("tokenizer.ggml.pre", pre);
    file.metadata_list("tokenizer.ggml.tokens", tokens);
    if (!types.empty()) file.metadata_list("tokenizer.ggml.token_type", types);
    file.metadata_list("tokenizer.ggml.merges", merges);
    if (!scores.empty()) file.metadata_list("tokenizer.ggml.scores", scores);
    file.metadata("tokenizer.ggml.bos_token_id", bos);
    file.write(path);
    return tern::read_gguf_tokenizer(tern::gguf_file(path).metadata(), notes);
  }
};

/// The message of loading a changed tokenizer, without the name of the file.
std::string error_of(const std::function<void(small&)>& change) {
  small file;
  change(file);
  const auto what =
      tern_test::message_of<tern::format_error>([&] { static_cast<void>(file.load()); });
  const std::size_t name = what.find("t.gguf: ");
  return name == what.npos ? what : what.substr(name + 8);
}

std::string slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("a small tokenizer of a GGUF file encodes and decodes", "[gguf_tokenizer]") {
  const auto t = small{}.load();
  CHECK(t.vocab_size() == 8);
  CHECK(t.encode("a ab<e>b<u>") == ids{0, 3, 1, 4, 1, 6});
  CHECK(t.decode(ids{0, 3, 4, 6, 5}) == "a a<e><u>");
  CHECK(t.encode("77") == ids{7, 7});
}

TEST_CASE("a token that the user defined is not special", "[gguf_tokenizer]") {
  CHECK(small{}.load().decode(ids{0, 3, 4, 6}, true) == "a a<u>");
}

TEST_CASE("llama-bpe keeps whole words and adds its first token on demand", "[gguf_tokenizer]") {
  small file;
  file.pre = "llama-bpe";
  file.bos = 4;
  const auto llama = file.load();
  CHECK(llama.definition().whole_words);
  CHECK(llama.encode("a", tern::added_text::plain, tern::special_tokens::add) == ids{4, 0});
  CHECK(llama.encode("a") == ids{0});
}

TEST_CASE("qwen2 normalizes as its tokenizer.json does, gpt-2 does not", "[gguf_tokenizer]") {
  small qwen;
  qwen.pre = "qwen2";
  CHECK(qwen.load().definition().normalizer == tern::bpe_definition{}.normalizer);
  CHECK(small{}.load().definition().normalizer.empty());
}

TEST_CASE("SmolLM cuts digits out first", "[gguf_tokenizer]") {
  small file;
  file.pre = "smollm";
  file.tokens.insert(file.tokens.end(), {"\u0120\u0120", "\u01207"});
  file.types.insert(file.types.end(), {1, 1});
  file.merges = {"\u0120 7", "\u0120 \u0120"};
  CHECK(file.load().encode("  77 7") == ids{8, 7, 7, 2, 7});  // the spaces stay together
  file.pre = "gpt-2";
  CHECK(file.load().encode("  77 7") == ids{2, 9, 7, 9});
}

TEST_CASE("a tokenizer of byte-level BPE is refused by the key at fault", "[gguf_tokenizer]") {
  using change = std::function<void(small&)>;
  const std::string tokens = "key 'tokenizer.ggml.tokens': token 1 ";
  const auto [name, damage, message] = GENERATE_COPY(table<std::string, change, std::string>({
      {"another model", [](small& f) { f.model = "bert"; },
       "key 'tokenizer.ggml.model': expected gpt2 (byte-level BPE) or llama (SentencePiece), got "
       "bert"},
      {"an unknown split", [](small& f) { f.pre = "grok"; },
       "key 'tokenizer.ggml.pre': expected one"},
      {"a type too few", [](small& f) { f.types.pop_back(); },
       "key 'tokenizer.ggml.token_type': expected as many as there are tokens, 8, got 7"},
      {"a byte of SentencePiece's", [](small& f) { f.types[1] = 6; },
       tokens + "'b' has type 6, which this kind of tokenizer does not have"},
      {"an unknown type", [](small& f) { f.types[1] = 99; },
       tokens + "'b' has type 99, which this kind of tokenizer does not have"},
      {"a token that is not UTF-8", [](small& f) { f.tokens[1] = "\xFF"; },
       tokens + "is not UTF-8"},
      {"a merge to a token that is missing", [](small& f) { f.merges[0] = "a b"; },
       "key 'tokenizer.ggml"},
  }));
  INFO(name);
  const auto what = error_of(damage);
  INFO(what);
  CHECK(what.starts_with(message));
}

TEST_CASE("a token that is not spelled in byte-level characters only has a text",
          "[gguf_tokenizer]") {
  small file;
  file.tokens[1] = "b b";
  CHECK(file.load().encode("ab b") == ids{0, 2});  // there is no token for b
  CHECK(file.load().decode(ids{0, 1}) == "ab b");
}

TEST_CASE("an empty token of a GGUF file has no text", "[gguf_tokenizer]") {
  small file;
  file.tokens[1] = "";
  CHECK(file.load().decode(ids{0, 1, 7}) == "a7");
}

TEST_CASE("of several tokens with one text a text gets the last, as in llama.cpp",
          "[gguf_tokenizer]") {
  small file;
  file.tokens[1] = "a";
  file.tokens[5] = "<e>", file.types[5] = 3;
  CHECK(file.load().encode("a<e>7") == ids{1, 5, 7});
  CHECK(file.load().decode(ids{0, 1, 4, 5}) == "aa<e><e>");
}

TEST_CASE("a file without types of tokens has normal ones, and the special ones that it names",
          "[gguf_tokenizer]") {
  small file;
  file.types.clear();
  file.bos = 4;
  const auto tokenizer = file.load();
  CHECK(tokenizer.encode("a<e>") == ids{0, 4});
  CHECK(tokenizer.decode(ids{0, 4}, true) == "a");
}

TEST_CASE("a file that does not say how text is cut is read with a guess", "[gguf_tokenizer]") {
  const auto [architecture, token, pre] =
      GENERATE(table<std::string, std::string, std::string_view>({
          {"qwen3", "<e>", "qwen2"},
          {"bitnet-b1.58", "<|begin_of_text|>", "llama-bpe"},
          {"llama", "<e>", "default"},
          {"", "<e>", "default"},
      }));
  INFO(architecture);
  small file;
  file.pre.clear();
  file.architecture = architecture;
  file.tokens[4] = token;
  file.bos = 4;
  std::vector<std::string> notes;
  const auto tokenizer = file.load(&notes);
  const auto& known = tern::detail::gguf_pretokenizers;
  const auto expected = std::ranges::find(known, pre, &tern::detail::gguf_pretokenizer::name);
  CHECK(tokenizer.definition().pretokenizer == expected->steps());
  REQUIRE(notes.size() == 1);
  CHECK(notes[0].find("key 'tokenizer.ggml.pre' is missing; text is cut as for \"" +
                      std::string(pre) + "\"") != std::string::npos);
}

TEST_CASE("llama.cpp's default cuts punctuation and three digits out", "[gguf_tokenizer]") {
  small file;
  file.pre = "default";
  file.tokens.insert(file.tokens.end(), {"77", "777", "7777", "aa"});
  file.types.insert(file.types.end(), {1, 1, 1, 1});
  file.merges = {"7 7", "77 7", "777 7", "a a"};
  CHECK(file.load().encode("7777aa") == ids{9, 7, 11});
}

TEST_CASE("a merge that is not two tokens is refused", "[gguf_tokenizer]") {
  const std::string bad = GENERATE("a", "a ", " a", "a q", "a b c", "");
  INFO('"' << bad << '"');
  CHECK(error_of([&](small& f) { f.merges[0] = bad; }) ==
        "key 'tokenizer.ggml.merges': merge 0 is not two tokens with a space between them");
}

TEST_CASE("SentencePiece's BPE from a GGUF file gives SentencePiece's ids", "[gguf_tokenizer]") {
  const bool gemma = GENERATE(false, true);
  const auto path = std::filesystem::path(__FILE__).parent_path().parent_path() / "oracle" /
                    (gemma ? "sentencepiece_gemma.gguf" : "sentencepiece_llama.gguf");
  const auto tokenizer = tern::read_gguf_tokenizer(tern::gguf_file(path).metadata());
  for (const tokenized& want : gemma ? sentencepiece_gemma : sentencepiece_llama) {
    CAPTURE(want.text);
    CHECK(tokenizer.encode(want.text) == want.ids);
    CHECK(tokenizer.decode(want.ids) == want.decoded);
  }
  CHECK(tokenizer.encode("", tern::added_text::plain, tern::special_tokens::add) == ids{1});
}

TEST_CASE("a tokenizer of SentencePiece is refused by the key at fault", "[gguf_tokenizer]") {
  using change = std::function<void(small&)>;
  const auto [name, damage, message] = GENERATE(table<std::string, change, std::string>({
      {"nothing is wrong", [](small&) {}, "no error"},
      {"no scores", [](small& f) { f.scores.clear(); }, "key 'tokenizer.ggml.scores': is missing"},
      {"a score too few", [](small& f) { f.scores.pop_back(); },
       "key 'tokenizer.ggml.scores': expected as many as there are tokens, 8, got 7"},
      {"a score that is no number", [](small& f) { f.scores[3] = std::nanf(""); },
       "key 'tokenizer.ggml.scores': expected finite numbers"},
      {"a byte that is none", [](small& f) { f.types[1] = 6; },
       "key 'tokenizer.ggml.tokens': token 1 'b' has type 6, which this kind of tokenizer does not "
       "have"},
  }));
  INFO(name);
  CHECK(error_of([&, &change = damage](small& f) {
          f.model = "llama";
          f.scores.assign(f.tokens.size(), 0.0f);
          change(f);
        }) == message);
}

TEST_CASE("GPT-2's tokenizer from a GGUF file gives llama.cpp's ids", "[gguf_tokenizer]") {
  const auto path = tern_test::data_file("tokenizers/llama.cpp-vectors/ggml-vocab-gpt-2.gguf");
  if (path.empty()) return;
  const tern::gguf_file file(path);
  CHECK(file.metadata().get<int>("tokenizer.ggml.eos_token_id") == 50256);
  const auto tokenizer = tern::read_gguf_tokenizer(file.metadata());
  CHECK(tokenizer.vocab_size() == 50257);
  CHECK(tokenizer.encode("<|endoftext|>") == ids{50256});
  const auto texts = tern_test::split_at(slurp(path.string() + ".inp"), "\n__ggml_vocab_test__\n");
  const auto lines = tern_test::split_at(slurp(path.string() + ".out"), "\n");
  REQUIRE(texts.size() >= 47);
  for (std::size_t i = 0; i < 47; ++i) {
    CAPTURE(texts[i]);
    std::istringstream line(lines[i]);
    CHECK(tokenizer.encode(texts[i]) == ids(std::istream_iterator<std::int32_t>(line), {}));
  }
}
