// Which examples a stage learns from.
#include "tern/recipe/stage_examples.hpp"

#include "tests/support.hpp"

using namespace tern;

namespace {

const std::vector<token_example> given{
    {{0, 1, 2}, 2, 0}, {{0, 1}, 1, 0}, {{0, 3, 4, 5}, 2, 1}, {{0, 6, 7}, 2, 1}};

std::vector<std::vector<std::int32_t>> chosen(std::size_t examples, std::size_t min_tokens) {
  stage s;
  s.examples = examples;
  s.min_tokens = min_tokens;
  std::vector<std::vector<std::int32_t>> tokens;
  for (const token_example& e : stage_examples(s, given)) tokens.push_back(e.tokens);
  return tokens;
}

}  // namespace

TEST_CASE("a stage uses the first examples that are long enough") {
  using list = std::vector<std::vector<std::int32_t>>;
  CHECK(chosen(0, 0) == list{{0, 1, 2}, {0, 1}, {0, 3, 4, 5}, {0, 6, 7}});
  CHECK(chosen(2, 0) == list{{0, 1, 2}, {0, 1}});
  CHECK(chosen(0, 3) == list{{0, 1, 2}, {0, 3, 4, 5}, {0, 6, 7}});
  CHECK(chosen(2, 3) == list{{0, 1, 2}, {0, 3, 4, 5}});
  CHECK(chosen(9, 4) == list{{0, 3, 4, 5}});
}

TEST_CASE("a stage for which no example is long enough is refused by name") {
  stage s;
  s.name = "few-tokens";
  s.min_tokens = 5;
  CHECK_THROWS_WITH(stage_examples(s, given),
                    "stage few-tokens: no training example has min_tokens (5) tokens");
  CHECK(stage_examples(s, {}).empty());
}
