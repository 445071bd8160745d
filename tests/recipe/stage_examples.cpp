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

TEST_CASE("a stage that wants them has all long enough examples without labels, too") {
  stage s;
  s.examples = 1, s.min_tokens = 3;
  const std::vector<token_example> more{{{0, 8}, 1, 0}, {{0, 9, 9}, 2, 0}, {{0, 9, 8}, 2, 0}};
  CHECK(stage_examples(s, given, more).size() == 1);
  s.unlabelled = true;
  const auto all = stage_examples(s, given, more);
  REQUIRE(all.size() == 3);
  CHECK(all[0].tokens == given[0].tokens);
  CHECK(all[1].tokens == more[1].tokens);
  CHECK(all[2].tokens == more[2].tokens);
}

TEST_CASE("a stage for which no example is long enough is refused by name") {
  stage s;
  s.name = "few-tokens";
  s.min_tokens = 5;
  CHECK_THROWS_WITH(stage_examples(s, given),
                    "stage few-tokens: no training example has min_tokens (5) tokens");
  CHECK(stage_examples(s, {}).empty());
}
