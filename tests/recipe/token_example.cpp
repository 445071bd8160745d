// Examples as tokens: where the answer begins, how a long prompt is cut, label words.
#include "tern/recipe/token_example.hpp"

#include <string>

#include "tests/message.hpp"
#include "tests/recipe/byte_tokenizer.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

token_example encode(const std::string& prompt, const data_source& d, int label = -1) {
  const text_task task{.name = "x", .prompt = "{a} TL;DR", .answer = "{b}"};
  example_encoder encoder(tern_test::byte_tokenizer(), task, d, 0,
                          label_word_tokens(tern_test::byte_tokenizer(), {"no", "yes"}));
  return encoder({prompt, "ab", {"ab"}, label});
}

std::string prompt_of(const token_example& e) {
  return tern_test::byte_tokenizer().decode({e.tokens.data() + 1, e.answer - 1});
}

}  // namespace

TEST_CASE("free text is followed by the separator, which ends the answer") {
  const auto e = encode("x TL;DR", {.prompt_tokens = 50});
  CHECK(prompt_of(e) == "x TL;DR");
  CHECK(tern_test::byte_tokenizer().decode(
            {e.tokens.data() + e.answer, e.tokens.size() - e.answer - 1}) == " ab");
  CHECK(e.tokens.back() == 0);
}

TEST_CASE("the answer of a class is its label word, and nothing behind it") {
  const auto e = encode("x TL;DR", {.prompt_tokens = 50}, 1);
  CHECK(tern_test::byte_tokenizer().decode(
            {e.tokens.data() + e.answer, e.tokens.size() - e.answer}) == " yes");
}

TEST_CASE("a prompt that is too long loses its front, or the end of its last column") {
  const std::string text = "0123456789 TL;DR";
  CHECK(prompt_of(encode(text, {.prompt_tokens = 11, .cut = prompt_cut::front})) == "6789 TL;DR");
  CHECK(prompt_of(encode(text, {.prompt_tokens = 11, .cut = prompt_cut::back})) == "0123 TL;DR");
  CHECK(prompt_of(encode(text, {.prompt_tokens = 4, .cut = prompt_cut::back})) == ";DR");
}

TEST_CASE("a limit that leaves no room for a prompt is refused") {
  for (const std::size_t limit : {0u, 1u})
    CHECK(tern_test::message_of<config_error>([&] { encode("x", {.prompt_tokens = limit}); }) ==
          "data.prompt_tokens: expected at least 2, got " + std::to_string(limit));
}

TEST_CASE("label words need tokens that do not begin another word") {
  const auto refused = [](const std::vector<std::string>& words) {
    return tern_test::message_of<config_error>(
        [&] { label_word_tokens(tern_test::byte_tokenizer(), words); });
  };
  CHECK(refused({"good", "go"}) ==
        "label words 'good' and 'go': the tokens of one begin with those of the other");
  CHECK(refused({"a", "b", "a"}).find("label words 'a' and 'a'") == 0);
  CHECK(label_word_tokens(tern_test::byte_tokenizer(), {"good", "gone"}).size() == 2);
}
