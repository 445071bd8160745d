// Tests of encoding and decoding: the published test vectors of Qwen's tokenizer, added tokens, bad
// input.
#include "tern/text/bpe_tokenizer.hpp"

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tern/core/atomic_file.hpp"
#include "tern/io/text_file.hpp"
#include "tern/text/tokenizer_json.hpp"
#include "tests/split_at.hpp"
#include "tests/support.hpp"
#include "tests/text/nfc.hpp"

namespace {

using ids = std::vector<std::int32_t>;

std::string slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Qwen3's tokenizer, which is loaded once, or null if the data is missing.
const tern::bpe_tokenizer* qwen3() {
  static const auto loaded = []() -> std::optional<tern::bpe_tokenizer> {
    const auto packed = tern_test::data_file("tokenizers/qwen3/tokenizer.json.gz");
    if (packed.empty()) return std::nullopt;
    const tern_test::scratch_dir scratch;
    const auto path = scratch.path() / "tokenizer.json";
    tern::write_file(path, tern::read_text(packed));
    return tern::bpe_tokenizer::load(path);
  }();
  return loaded ? &*loaded : nullptr;
}

ids numbers(const std::string& line) {
  std::istringstream in(line);
  return {std::istream_iterator<std::int32_t>(in), {}};
}

void check_llama_cpp_vectors(const tern::bpe_tokenizer& tokenizer, const std::string& model) {
  const auto stem = "tokenizers/llama.cpp-vectors/ggml-vocab-" + model + ".gguf";
  const auto in = tern_test::data_file(stem + ".inp"), out = tern_test::data_file(stem + ".out");
  if (in.empty() || out.empty()) return;
  const auto texts = tern_test::split_at(slurp(in), "\n__ggml_vocab_test__\n");
  const auto lines = tern_test::split_at(slurp(out), "\n");
  REQUIRE(texts.size() >= 47);
  REQUIRE(lines.size() >= 47);
  for (std::size_t i = 0; i < 47; ++i) {
    CAPTURE(texts[i]);
    CHECK(tokenizer.encode(texts[i]) == numbers(lines[i]));
  }
}

/// "ab", "abc" and " ab" can be merged. There are two added tokens, one of which is the beginning
/// of the other.
tern::bpe_definition small() {
  tern::bpe_definition d;
  for (int byte = 0; byte < 256; ++byte) d.tokens.emplace_back(1, static_cast<char>(byte));
  d.tokens.insert(d.tokens.end(), {"ab", "abc", " ab", "bc"});
  d.merges = {{'b', 'c'}, {'a', 'b'}, {' ', 256}, {'a', 259}};
  d.added = {{"<x>", 260}, {"<x>y", 261, false}};
  return d;
}

}  // namespace

TEST_CASE("every Qwen3 vector encodes to its ids and decodes to its NFC form", "[text]") {
  const auto path = tern_test::data_file("tokenizers/qwen3-vectors/vectors.jsonl");
  if (path.empty() || qwen3() == nullptr) return;
  CHECK(qwen3()->vocab_size() == 151669);
  std::ifstream file(path);
  auto encoder = qwen3()->encoder();
  std::size_t count = 0;
  for (std::string line; std::getline(file, line); ++count) {
    const auto vector = nlohmann::json::parse(line);
    const auto text = vector.at("text").get<std::string>();
    ids got;
    encoder.encode(text, got);
    CAPTURE(text);
    CHECK(got == vector.at("ids").get<ids>());
    CHECK(got == qwen3()->encode(text));
    CHECK(qwen3()->decode(got) == tern_test::nfc(text));
  }
  CHECK(count == 938);
}

TEST_CASE("llama.cpp's vectors for Qwen2 encode to their ids", "[text]") {
  if (qwen3() != nullptr) check_llama_cpp_vectors(*qwen3(), "qwen2");
}

TEST_CASE("llama.cpp's vectors for GPT-2 encode to their ids", "[text]") {
  const auto vocab = tern_test::data_file("tokenizers/gpt2/vocab.json");
  const auto merges = tern_test::data_file("tokenizers/gpt2/merges.txt");
  if (vocab.empty() || merges.empty()) return;
  auto rules = tern_test::split_at(slurp(merges), "\n");
  std::erase_if(rules,
                [](const auto& line) { return line.empty() || line.starts_with("#version"); });
  const nlohmann::json file = {
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
      {"model",
       {{"type", "BPE"}, {"vocab", nlohmann::json::parse(slurp(vocab))}, {"merges", rules}}}};
  const tern_test::scratch_dir scratch;
  std::ofstream(scratch.path() / "t.json") << file;
  check_llama_cpp_vectors(tern::bpe_tokenizer::load(scratch.path() / "t.json"), "gpt-2");
}

TEST_CASE("merges are done by rank, then from the left", "[text]") {
  const tern::bpe_tokenizer t(small());
  CHECK(t.encode("abc") == ids{257});  // bc has the lower rank; then a + bc is merged
  CHECK(t.encode("abab") == ids{256, 256});
  CHECK(t.encode("x ab") == ids{'x', 258});
  CHECK(t.encode("x abc") == ids{'x', ' ', 257});
  CHECK(t.encode("") == ids{});
  ids twice{7};
  t.encode("ab", twice);
  t.encode("ab", twice);
  CHECK(twice == ids{7, 256, 256});
}

TEST_CASE("an added token is the longest at its place, or plain text on demand", "[text]") {
  const tern::bpe_tokenizer t(small());
  CHECK(t.encode("ab<x>ab<x>yab") == ids{256, 260, 256, 261, 256});
  CHECK(t.encode("<x") == ids{'<', 'x'});
  CHECK(t.encode("<x>", tern::added_text::plain) == ids{'<', 'x', '>'});
  const ids mixed{256, 260, 261};
  CHECK(t.decode(mixed) == "ab<x><x>y");
  CHECK(t.decode(mixed, true) == "ab<x>y");
  CHECK(t.token_id("<x>") == 260);
  CHECK(t.token_id(" ab") == 258);
  CHECK(t.token_id("nothing") == std::nullopt);
  CHECK(t.vocab_size() == 262);
}

TEST_CASE("an added token is found before normalization or after it, as it says", "[text]") {
  auto d = small();
  const std::string composed = "\u00e9", decomposed = "e\u0301";
  d.added = {{composed, 260}};
  CHECK(tern::bpe_tokenizer(d).encode(composed) == ids{260});
  CHECK(tern::bpe_tokenizer(d).encode(decomposed) == ids{0xC3, 0xA9});
  d.added[0].normalized = true;
  CHECK(tern::bpe_tokenizer(d).encode(decomposed) == ids{260});
  d.added.clear();
  d.normalizer.clear();
  CHECK(tern::bpe_tokenizer(d).encode(decomposed) == ids{'e', 0xCC, 0x81});
}

TEST_CASE("a whole word comes before merges", "[text]") {
  auto d = small();
  d.tokens.push_back(" abx");
  d.added.clear();
  CHECK(tern::bpe_tokenizer(d).encode("ab abx") == ids{256, 258, 'x'});
  d.whole_words = true;
  CHECK(tern::bpe_tokenizer(d).encode("ab abx") == ids{256, 260});
}

TEST_CASE("text that is not UTF-8 is refused with the offset", "[text]") {
  const tern::bpe_tokenizer t(small());
  for (const std::string bad : {"\x80", "\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82",
                                "\xFF", "\xE0\x80\x80", "\xF0\x8F\xBF\xBF"}) {
    ids got{1};
    try {
      t.encode("0123456789é" + bad + " tail", got);
      FAIL("accepted");
    } catch (const tern::format_error& e) {
      CHECK(std::string(e.what()).find("byte 12 ") != std::string::npos);
    }
    CHECK(got == ids{1});
  }
}

TEST_CASE("a byte without a token is left out, and a negative id is refused", "[text]") {
  auto d = small();
  d.tokens['q'].clear();
  const tern::bpe_tokenizer t(d);
  CHECK(t.encode("aqa") == t.encode("aa"));
  CHECK_THROWS_AS(t.decode(ids{-1}), tern::config_error);
}

TEST_CASE("definitions that contradict themselves are refused", "[text]") {
  const auto refused = [](auto&& change) {
    auto d = small();
    change(d);
    CHECK_THROWS_AS(tern::bpe_tokenizer(d), tern::config_error);
  };
  refused([](auto& d) { d.tokens.push_back("ab"); });
  refused([](auto& d) { d.merges.push_back({'x', 'y'}); });
  refused([](auto& d) { d.merges.push_back({'x', 999}); });
  refused([](auto& d) { d.added.push_back({"<x>", 300}); });
  refused([](auto& d) { d.added.push_back({"<z>", 260}); });
  refused([](auto& d) { d.added.push_back({"", 300}); });
  refused([](auto& d) { d.added.push_back({"\xFF", 300}); });
  refused([](auto& d) { d.pretokenizer = {tern::split_step{"(["}}; });
}

TEST_CASE("threads can share a tokenizer", "[text]") {
  const tern::bpe_tokenizer t(small());
  std::string text;
  for (int i = 0; i < 2000; ++i) text += " ab" + std::to_string(i * 7919) + "abc<x>";
  const auto expected = t.encode(text);
  std::vector<ids> got(4);
  std::vector<std::thread> threads;  // libc++ 16 has no std::jthread
  for (auto& one : got) threads.emplace_back([&t, &text, &one] { one = t.encode(text); });
  for (auto& thread : threads) thread.join();
  for (const auto& one : got) CHECK(one == expected);
}
