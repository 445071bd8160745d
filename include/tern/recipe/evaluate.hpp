// Evaluation: the answers of a model to a part of a task, and the metrics of these answers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/stopwatch.hpp"
#include "tern/infer/generate_batch.hpp"
#include "tern/infer/session.hpp"
#include "tern/metric/text_metric.hpp"
#include "tern/recipe/classify.hpp"
#include "tern/recipe/task_data.hpp"
#include "tern/text/bpe_tokenizer.hpp"
#include "tern/text/end_tokens.hpp"

namespace tern::inline TERN_ABI {

/// Figures in percent by their names, such as {"accuracy", 91.2}, in the order of the task.
using metric_values = std::vector<std::pair<std::string, double>>;

/// What a model answered, how well and how fast.
struct evaluation {
  metric_values metrics;                 ///< metrics that the task names
  double tokens_per_second = 0;          ///< tokens read and written per second of wall clock
  std::vector<std::string> predictions;  ///< the answer to each example, as text
};

/// A function that is called with the number of finished examples and the number of all examples.
using evaluation_progress = std::function<void(std::size_t, std::size_t)>;

namespace detail {

inline std::size_t prompt_token_count(std::span<const token_example> examples) {
  std::size_t count = 0;
  for (const token_example& e : examples) count += e.answer;
  return count;
}

/// Writes an answer in free text to each example: the most probable tokens up to one that ends it.
/// White space at both ends of an answer is left out. Returns the number of tokens written.
template <class Model>
std::size_t write_answers(Model& model, const task_data& data, const bpe_tokenizer& tokenizer,
                          std::span<const token_example> examples, evaluation& result,
                          const evaluation_progress& progress, executor_ref ex) {
  constexpr std::size_t most_sequences = 16;
  std::size_t longest = 0;
  std::vector<std::span<const std::int32_t>> prompts;
  for (const token_example& e : examples) {
    prompts.push_back(e.prompt());
    longest = std::max(longest, e.answer);
  }
  session<Model> s(model,
                   {.sequences = std::min(most_sequences, examples.size()),
                    .capacity = longest + data.answer_tokens,
                    .storage = kv_storage::f32},
                   ex);
  auto ends = data.ends;
  ends.push_back(data.separator);
  const auto never = ids_without_text(tokenizer, model.config().vocab_size, ends);
  const auto answers = generate_batch(s, prompts, {data.answer_tokens, ends, never},
                                      [&](std::size_t n) { progress(n, examples.size()); });
  std::size_t written = 0;
  for (const auto& tokens : answers) {
    written += tokens.size();
    std::string text = tokenizer.decode(tokens);
    const auto first = text.find_first_not_of(" \n\t\r");
    text =
        first == text.npos ? "" : text.substr(first, text.find_last_not_of(" \n\t\r") + 1 - first);
    result.predictions.push_back(std::move(text));
  }
  return written;
}

}  // namespace detail

/// Throws config_error where the part has no examples, or an example has no prompt or a token that
/// the model does not know.
template <class Model>
void require_answerable(const Model& model, const task_data& data, const task_examples& part) {
  if (part.examples.empty()) throw config_error("evaluate: no examples");
  require_size(part.references.size(), part.examples.size(), "evaluate: references");
  require_size(data.label_words.size(), data.task.label_words.size(), "evaluate: label words");
  for (std::size_t i = 0; i < part.examples.size(); ++i)
    require_prompt(part.examples[i], i, model.config().vocab_size);
}

/// Answers examples of a part that is require_answerable(), and measures the speed but no metrics.
template <class Model>
evaluation answer(Model& model, const task_data& data, std::span<const token_example> examples,
                  const bpe_tokenizer& tokenizer, const evaluation_progress& progress = {},
                  executor_ref ex = {}) {
  const evaluation_progress report = progress ? progress : [](std::size_t, std::size_t) {};
  evaluation result;
  if (examples.empty()) return result;
  std::size_t tokens = detail::prompt_token_count(examples);
  const stopwatch watch;
  if (data.task.classifies()) {
    const auto classes = classify(
        model, examples, data.label_words, [&](std::size_t n) { report(n, examples.size()); }, 64,
        ex);
    for (const std::int32_t c : classes)
      result.predictions.push_back(data.task.label_words[static_cast<std::size_t>(c)]);
  } else {
    tokens += detail::write_answers(model, data, tokenizer, examples, result, report, ex);
  }
  result.tokens_per_second = static_cast<double>(tokens) / watch.seconds();
  return result;
}

/// The metrics of the task for answers to all examples of a part. Throws config_error where the
/// task names an unknown metric.
inline metric_values score(const task_data& data, const task_examples& part,
                           const std::vector<std::string>& predictions) {
  metric_values metrics;
  for (const std::string& name : data.task.metrics)
    metrics.emplace_back(name, score_texts(name, {predictions, part.references}));
  return metrics;
}

/// Answers every example of a part and measures the metrics of the task. Throws as
/// require_answerable() and score() do.
template <class Model>
evaluation evaluate(Model& model, const task_data& data, const task_examples& part,
                    const bpe_tokenizer& tokenizer, const evaluation_progress& progress = {},
                    executor_ref ex = {}) {
  require_answerable(model, data, part);
  evaluation result =
      answer(model, data, std::span<const token_example>(part.examples), tokenizer, progress, ex);
  result.metrics = score(data, part, result.predictions);
  return result;
}

}  // namespace tern::inline TERN_ABI
