// Tests of training: the results of the Hugging Face trainer, recounting from scratch, and the
// options.
#include "tern/text/bpe_trainer.hpp"

#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "tern/text/bpe_tokenizer.hpp"
#include "tests/support.hpp"

namespace {

using ids = std::vector<std::int32_t>;
using pair = std::pair<std::int32_t, std::int32_t>;
using pairs = std::vector<pair>;

const nlohmann::json& oracle() {
  static const auto parsed = nlohmann::json::parse(
#include "tests/oracle/bpe_trainer.inc"
  );
  return parsed;
}

/// Learns merges by counting all pairs again for each merge, over words of the letters a = 0 and b
/// = 1.
pairs learn_literally(std::vector<ids> words, std::size_t vocab_size) {
  std::vector<std::string> tokens{"a", "b"};
  pairs learned;
  while (tokens.size() < vocab_size) {
    std::map<pair, int> counts;
    for (const auto& word : words)
      for (std::size_t i = 0; i + 1 < word.size(); ++i) ++counts[{word[i], word[i + 1]}];
    const auto best = std::ranges::max_element(
        counts, [](const auto& a, const auto& b) { return a.second < b.second; });
    if (best == counts.end() || best->second < 2) break;
    const auto [left, right] = best->first;
    const auto joined =
        tokens[static_cast<std::size_t>(left)] + tokens[static_cast<std::size_t>(right)];
    const auto result = std::ranges::find(tokens, joined) - tokens.begin();
    if (static_cast<std::size_t>(result) == tokens.size()) tokens.push_back(joined);
    if (std::ranges::count(learned, best->first) == 0) learned.push_back(best->first);
    for (auto& word : words)
      for (std::size_t i = 0; i + 1 < word.size(); ++i)
        if (word[i] == left && word[i + 1] == right) {
          word[i] = static_cast<std::int32_t>(result);
          word.erase(word.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        }
  }
  return learned;
}

}  // namespace

TEST_CASE("the trainer learns the merges and ids of the Hugging Face trainer", "[text]") {
  tern::bpe_train_options options;
  options.vocab_size = oracle().at("vocab_size");
  options.special_tokens = {"<|endoftext|>", "<|pad|>"};
  const auto t = tern::bpe_tokenizer::train(oracle().at("corpus").get<std::string>(), options);
  const auto& merges = t.definition().merges;
  REQUIRE(merges.size() == oracle().at("merges").size());
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const auto spell = [&](std::int32_t id) { return tern::to_byte_level(t.decode(ids{id})); };
    CAPTURE(i);
    CHECK(spell(merges[i].first) == oracle().at("merges")[i][0].get<std::string>());
    CHECK(spell(merges[i].second) == oracle().at("merges")[i][1].get<std::string>());
  }
  for (const auto& vector : oracle().at("vectors"))
    CHECK(t.encode(vector.at("text").get<std::string>()) == vector.at("ids").get<ids>());
}

TEST_CASE("incremental counts equal recounting", "[text]") {
  std::mt19937 random(2);
  for (int round = 0; round < 200; ++round) {
    const std::size_t vocab_size = 2 + random() % 60;
    tern::bpe_trainer trainer({.vocab_size = vocab_size, .all_bytes = false});
    std::vector<ids> words(1 + random() % 12);
    for (auto& word : words) {
      word = {0, 1};
      for (std::size_t n = random() % 30; n > 0; --n)
        word.push_back(static_cast<std::int32_t>(random() % 2));
      std::string text;
      for (const auto letter : word) text.push_back(static_cast<char>('a' + letter));
      trainer.add(text);
    }
    REQUIRE(trainer.finish().merges == learn_literally(words, vocab_size));
  }
}

TEST_CASE("frequent words become tokens with their leading space", "[text]") {
  std::string corpus;
  for (int i = 0; i < 50; ++i) corpus += "every sparrow sings, no sparrow barks .\n";
  const auto t = tern::bpe_tokenizer::train(corpus, {.vocab_size = 400});
  CHECK(t.encode("every sparrow sings") ==
        ids{*t.token_id("every"), *t.token_id(" sparrow"), *t.token_id(" sings")});
  CHECK(t.vocab_size() < 400);  // there is nothing more to learn
}

TEST_CASE("the order and the division of the texts do not matter", "[text]") {
  const tern::bpe_train_options options{.vocab_size = 280, .special_tokens = {"<|e|>"}};
  tern::bpe_trainer forward(options), backward(options), joined(options);
  const std::string a = "the cat sat on the mat", b = "that hat is flat";
  forward.add(a);
  forward.add(b);
  backward.add(b);
  backward.add(a);
  joined.add(a + "<|e|>" + b);
  CHECK(forward.finish() == backward.finish());
  CHECK(forward.finish() == joined.finish());
}

TEST_CASE("options that no vocabulary can meet are refused", "[text]") {
  using options = tern::bpe_train_options;
  CHECK_THROWS_AS(tern::bpe_trainer(options{.vocab_size = 255}), tern::config_error);
  CHECK_THROWS_AS(tern::bpe_trainer(options{.special_tokens = {"a", "a"}}), tern::config_error);
  CHECK_THROWS_AS(tern::bpe_trainer(options{.special_tokens = {""}}), tern::config_error);
  CHECK_THROWS_AS(tern::bpe_trainer(options{.pattern = "(("}), tern::config_error);
  CHECK_THROWS_AS(tern::bpe_trainer(options{}).add("ab\xFF"), tern::format_error);
  tern::bpe_trainer few({.vocab_size = 3, .all_bytes = false});
  few.add("abcdef");
  CHECK_THROWS_AS(few.finish(), tern::config_error);
}
