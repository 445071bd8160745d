// The class of an example: the label word with the highest probability, of one token or of several.
#include "tern/recipe/classify.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "tern/model/decoder.hpp"
#include "tests/message.hpp"
#include "tests/small_decoder.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

std::vector<token_example> prompts() {
  std::vector<token_example> list(12);
  philox random(5);
  for (token_example& e : list) {
    e.answer = 2 + random.below(6);
    for (std::size_t i = 0; i < e.answer; ++i)
      e.tokens.push_back(static_cast<std::int32_t>(random.below(30)));
  }
  return list;
}

/// The value of log p(word | prompt), computed one token after another.
double log_probability(decoder<matrix<double>>& model, std::vector<std::int32_t> tokens,
                       const std::vector<std::int32_t>& word) {
  double sum = 0;
  for (const std::int32_t next : word) {
    tape<double> t({}, false);
    token_batch batch;
    batch.add(tokens);
    const std::vector<std::size_t> last{tokens.size() - 1};
    const matrix_view<double> z = model.logits(t, model.hidden(t, batch, last)).value;
    double total = 0;
    for (std::size_t v = 0; v < z.cols; ++v) total += std::exp(z(0, v));
    sum += z(0, static_cast<std::size_t>(next)) - std::log(total);
    tokens.push_back(next);
  }
  return sum;
}

}  // namespace

TEST_CASE("classify finds the word of the highest probability") {
  auto model = tern_test::small_decoder<matrix<double>>(30, 3);
  const auto examples = prompts();
  const auto words = GENERATE(std::vector<std::vector<std::int32_t>>{{7}, {8}, {9}},
                              std::vector<std::vector<std::int32_t>>{{7, 3}, {7, 4, 5}, {9}});
  std::size_t finished = 0;
  const auto classes = classify(
      model, examples, words, [&](std::size_t n) { finished = n; }, 5);
  CHECK(finished == examples.size());
  REQUIRE(classes.size() == examples.size());
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const double chosen =
        log_probability(model, examples[i].tokens, words[static_cast<std::size_t>(classes[i])]);
    for (const auto& word : words)
      CHECK(log_probability(model, examples[i].tokens, word) <= chosen + 1e-12);
  }
}

TEST_CASE("classify needs examples and words") {
  auto model = tern_test::small_decoder<matrix<double>>(30, 3);
  const auto examples = prompts();
  const std::vector<std::vector<std::int32_t>> none;
  CHECK_THROWS_AS(classify(model, examples, none, [](std::size_t) {}), config_error);
  CHECK_THROWS_AS(
      classify(model, {}, std::vector<std::vector<std::int32_t>>{{1}, {2}}, [](std::size_t) {}),
      config_error);
}

TEST_CASE("classify names what it cannot answer") {
  auto model = tern_test::small_decoder<matrix<double>>(30, 3);
  using ids = std::vector<std::int32_t>;
  struct row {
    const char* name;
    ids prompt, word;
    const char* message;
  };
  const auto r = GENERATE(values<row>({
      {"an empty prompt",
       {},
       {7},
       "example 2: expected at least one token before the answer, got the answer at 0 of 0 tokens"},
      {"an unknown token", {1, 30}, {7}, "example 2: token 30 is outside [0, 30)"},
      {"a negative token", {-1}, {7}, "example 2: token -1 is outside [0, 30)"},
      {"an empty word", {1}, {}, "classify: label word 1 is empty"},
      {"an unknown word", {1}, {999}, "classify: token 999 of label word 1 is outside [0, 30)"},
      {"a negative word", {1}, {-1}, "classify: token -1 of label word 1 is outside [0, 30)"},
  }));
  INFO(r.name);
  auto examples = prompts();
  examples[2].tokens = r.prompt;
  examples[2].answer = r.prompt.size();
  const std::vector<ids> words{{5}, r.word};
  CHECK(tern_test::message_of<config_error>(
            [&] { classify(model, examples, words, [](std::size_t) {}); }) == r.message);
}

TEST_CASE("a model that computes no answer is refused rather than given the first class") {
  auto model = tern_test::small_decoder<matrix<double>>(30, 3);
  const auto examples = prompts();
  const auto words = GENERATE(std::vector<std::vector<std::int32_t>>{{7}, {8}},
                              std::vector<std::vector<std::int32_t>>{{7, 3}, {8, 4}});
  model.layers()[1].down.weight.value(0, 0) = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(classify(
                      model, examples, words, [](std::size_t) {}, 5),
                  numeric_error);
}
