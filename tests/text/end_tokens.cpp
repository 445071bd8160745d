// Tokens that end texts: which names count, and which token ends a document.
#include "tern/text/end_tokens.hpp"

#include "tern/text/bpe_trainer.hpp"
#include "tests/support.hpp"

namespace {

using ids = std::vector<std::int32_t>;

tern::bpe_tokenizer with_special(std::vector<std::string> tokens) {
  return tern::bpe_tokenizer::train("", {.vocab_size = 300, .special_tokens = std::move(tokens)});
}

}  // namespace

TEST_CASE("special added tokens end a text by their names", "[text]") {
  CHECK(tern::named_ends(with_special({"<|endoftext|>", "<|x|>", "<|im_end|>"})) == ids{2, 0});
  CHECK(tern::named_ends(with_special({"<|x|>"})).empty());
}

TEST_CASE("an ordinary entry with the name of an end ends nothing", "[text]") {
  auto definition = with_special({"<|endoftext|>"}).definition();
  definition.tokens.emplace_back("</s>");
  CHECK(tern::named_ends(tern::bpe_tokenizer(definition)) == ids{0});
}

TEST_CASE("an added token that is not special ends nothing", "[text]") {
  auto definition = with_special({"<|endoftext|>"}).definition();
  definition.added.push_back({"</s>", 500, false});
  CHECK(tern::named_ends(tern::bpe_tokenizer(definition)) == ids{0});
}

TEST_CASE("a document ends with the model's end that does not end a message", "[text]") {
  const auto [name, tokens, ends, end] = GENERATE(table<std::string, std::vector<std::string>, ids,
                                                        std::optional<std::int32_t>>({
      {"the only end", {"<|fin|>", "<|pad|>"}, {0}, 0},
      {"Llama 3 Instruct", {"<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"}, {0, 1, 2}, 0},
      {"Qwen3", {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}, {2, 0}, 0},
      {"an end of messages beside a named token", {"<|endoftext|>", "<|im_end|>"}, {1}, 0},
      {"an end of messages alone", {"<|im_end|>"}, {0}, 0},
      {"no file names an end", {"<|im_end|>", "<|endoftext|>"}, {}, 1},
      {"an end with a name of its own beside a known one", {"<|endoftext|>", "<|fin|>"}, {1}, 1},
      {"nothing", {"<|x|>"}, {}, std::nullopt},
  }));
  INFO(name);
  CHECK(tern::document_end(with_special(tokens), {.ends = ends}) == end);
}

TEST_CASE("ids beyond the tokenizer have no text, and ends may be among them", "[text]") {
  const auto tokenizer = with_special({"<|endoftext|>"});
  REQUIRE(tokenizer.vocab_size() == 257);
  CHECK(tern::ids_without_text(tokenizer, 257).empty());
  CHECK(tern::ids_without_text(tokenizer, 260) == ids{257, 258, 259});
  CHECK(tern::ids_without_text(tokenizer, 260, ids{258}) == ids{257, 259});
}
