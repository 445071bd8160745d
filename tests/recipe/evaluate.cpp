// Evaluation: the answers in free text, and the metrics of all answers.
#include "tern/recipe/evaluate.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tern/model/decoder.hpp"
#include "tests/message.hpp"
#include "tests/recipe/byte_tokenizer.hpp"
#include "tests/small_decoder.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

/// Twenty examples, more than the sequences that go forward together.
task_data summaries() {
  task_texts texts;
  texts.task = {.name = "x", .prompt = "{a}", .answer = "{b}", .metrics = {"rouge1", "bleu"}};
  for (int i = 0; i < 20; ++i) {
    const std::string answer = "answer " + std::to_string(i);
    texts.dev.push_back({std::string(static_cast<std::size_t>(1 + i % 7), 'a'), answer, {answer}});
  }
  return tokenize_task(texts, tern_test::byte_tokenizer(),
                       {.prompt_tokens = 24, .answer_tokens = 6});
}

/// The most probable token that follows `tokens`.
std::int32_t next_token(decoder<>& model, const std::vector<std::int32_t>& tokens) {
  tape<float> t({}, false);
  token_batch batch;
  batch.add(tokens);
  const std::vector<std::size_t> last{tokens.size() - 1};
  const auto logits = model.logits(t, model.hidden(t, batch, last)).value.row(0);
  std::size_t best = 0;
  for (std::size_t i = 1; i < logits.size; ++i)
    if (logits[i] > logits[best]) best = i;
  return static_cast<std::int32_t>(best);
}

/// The answer to one prompt, each token from the whole text before it.
std::string answer_to(decoder<>& model, const token_example& e, const task_data& data) {
  std::vector<std::int32_t> tokens(e.prompt().begin(), e.prompt().end()), answer;
  while (answer.size() < data.answer_tokens) {
    tokens.push_back(next_token(model, tokens));
    if (tokens.back() == data.separator) break;
    answer.push_back(tokens.back());
  }
  const std::string text = tern_test::byte_tokenizer().decode(answer);
  const auto first = text.find_first_not_of(" \n\t\r");
  if (first == text.npos) return "";
  return text.substr(first, text.find_last_not_of(" \n\t\r") + 1 - first);
}

}  // namespace

TEST_CASE("answers in free text are the most probable tokens, one after another") {
  auto model = tern_test::small_decoder(257, 4);
  const task_data data = summaries();
  const evaluation result = evaluate(model, data, data.dev, tern_test::byte_tokenizer());
  REQUIRE(result.predictions.size() == data.dev.examples.size());
  for (std::size_t i = 0; i < result.predictions.size(); ++i) {
    INFO("example " << i);
    CHECK(result.predictions[i] == answer_to(model, data.dev.examples[i], data));
  }
}

TEST_CASE("an answer that begins with the separator is empty") {
  auto model = tern_test::small_decoder(257, 4);
  task_data data = summaries();
  const auto prompt = data.dev.examples[3].prompt();
  data.separator = next_token(model, {prompt.begin(), prompt.end()});
  CHECK(evaluate(model, data, data.dev, tern_test::byte_tokenizer()).predictions[3].empty());
}

TEST_CASE("the metrics of the task are measured on the answers, in the order of the task") {
  auto model = tern_test::small_decoder(257, 4);
  task_data data = summaries();
  // One answer is right, so that the figures are not 0.
  data.dev.references[2] = {answer_to(model, data.dev.examples[2], data), "another one"};
  const evaluation result = evaluate(model, data, data.dev, tern_test::byte_tokenizer());
  const scored_texts texts{result.predictions, data.dev.references};
  CHECK(result.metrics == metric_values{{"rouge1", score_texts("rouge1", texts)},
                                        {"bleu", score_texts("bleu", texts)}});
  CHECK(result.tokens_per_second > 0);
}

TEST_CASE("an evaluation reports how many examples are finished") {
  auto model = tern_test::small_decoder(257, 4);
  const task_data data = summaries();
  std::vector<std::size_t> finished, expected;
  evaluate(model, data, data.dev, tern_test::byte_tokenizer(), [&](std::size_t n, std::size_t all) {
    CHECK(all == 20);
    finished.push_back(n);
  });
  for (std::size_t n = 1; n <= 20; ++n) expected.push_back(n);
  CHECK(finished == expected);
}

TEST_CASE("the prediction of a class is its label word") {
  auto model = tern_test::small_decoder(257, 4);
  task_data data = summaries();
  data.task.labels = {"0", "1"};
  data.task.label_words = {"no", "yes"};
  data.task.metrics = {"accuracy"};
  data.label_words = label_word_tokens(tern_test::byte_tokenizer(), data.task.label_words);
  const auto classes = classify(model, data.dev.examples, data.label_words, [](std::size_t) {});
  const evaluation result = evaluate(model, data, data.dev, tern_test::byte_tokenizer());
  REQUIRE(result.predictions.size() == classes.size());
  for (std::size_t i = 0; i < classes.size(); ++i)
    CHECK(result.predictions[i] == data.task.label_words[static_cast<std::size_t>(classes[i])]);
}

TEST_CASE("an evaluation without examples or with an unknown metric is refused") {
  auto model = tern_test::small_decoder(257, 4);
  task_data data = summaries();
  CHECK(tern_test::message_of<config_error>([&] {
          evaluate(model, data, data.test, tern_test::byte_tokenizer());
        }).find("evaluate: ") == 0);
  data.task.metrics = {"rouge9"};
  CHECK(tern_test::message_of<config_error>([&] {
          evaluate(model, data, data.dev, tern_test::byte_tokenizer());
        }).find("unknown metric 'rouge9'") == 0);
}
