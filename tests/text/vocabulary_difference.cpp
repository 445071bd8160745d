#include "tern/text/vocabulary_difference.hpp"

#include "tern/text/bpe_trainer.hpp"
#include "tests/support.hpp"

namespace {

tern::bpe_tokenizer trained(const char* text, std::vector<std::string> special) {
  return tern::bpe_tokenizer::train(
      text, {.vocab_size = 260, .special_tokens = std::move(special), .min_count = 1});
}

}  // namespace

TEST_CASE("tokenizers with one vocabulary and other added tokens can share ids", "[text]") {
  auto more = trained("ab ab", {"<e>"}).definition();
  more.added.push_back({"<f>", 300});
  CHECK(tern::vocabulary_difference(trained("ab ab", {"<e>"}), tern::bpe_tokenizer(more)).empty());
  CHECK(tern::vocabulary_difference(trained("ab ab", {"<e>"}), trained("ab ab", {"<f>"})).empty());
}

TEST_CASE("the first id with two texts is named", "[text]") {
  CHECK(tern::vocabulary_difference(trained("ab ab", {"<e>"}), trained("cd cd", {"<e>"})) ==
        "id 257 is \"ab\" and \"cd\"");
}

TEST_CASE("vocabularies of different sizes differ", "[text]") {
  CHECK(tern::vocabulary_difference(trained("", {"<e>"}), trained("ab ab", {"<e>"}))
            .starts_with("they have 256 and 25"));
}
