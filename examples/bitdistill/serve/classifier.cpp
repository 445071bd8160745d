#include "serve/classifier.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "serve/refusal.hpp"
#include "tern/core/is_finite.hpp"
#include "tern/nn/softmax.hpp"
#include "tern/recipe/task_data.hpp"

namespace bitdistill::serving {

score_task::score_task(std::vector<std::int32_t> prompt, serving_clock::time_point deadline,
                       const std::vector<std::vector<std::int32_t>>& words,
                       std::optional<std::size_t> spelled)
    : task(std::move(prompt), deadline), words_(words), spelled_(spelled), scores_(words.size()) {}

std::optional<std::int32_t> score_task::take(tern::row_view<const float> logits, bool) {
  const double all = static_cast<double>(tern::log_sum_exp(logits));
  const auto score = [&](std::int32_t token) {
    return static_cast<double>(logits[static_cast<std::size_t>(token)]) - all;
  };
  if (spelled_) {
    const auto& word = words_[*spelled_];
    scores_[*spelled_] += score(word[at_]);
    if (++at_ < word.size()) return word[at_ - 1];
  } else {
    for (std::size_t c = 0; c < words_.size(); ++c)
      if (words_[c].size() == 1) scores_[c] = score(words_[c][0]);
  }
  update([] {}, true);
  return {};
}

std::optional<std::vector<double>> score_task::scores(std::chrono::milliseconds time) {
  std::optional<std::vector<double>> result;
  if (wait(
          time, [] { return false; }, [] {}))
    result = scores_;
  return result;
}

classifier::classifier(const task_description& description, const tern::model_text& text)
    : template_(description.prompt),
      labels_(description.labels.empty() ? description.words : description.labels),
      words_(tern::label_word_tokens(*text.tokenizer, description.words)),
      separator_(tern::detail::separator_of(*text.tokenizer, text.conventions,
                                            {.separator = description.separator})),
      tokenizer_(*text.tokenizer) {
  if (words_.size() < 2) throw tern::config_error("--label-words: expected two words at least");
  if (labels_.size() != words_.size())
    throw tern::config_error("--labels: expected as many labels as label words");
}

std::vector<std::int32_t> classifier::prompt(
    const std::map<std::string, std::string>& input) const {
  const auto& columns = template_.columns();
  const auto named = input.find("");
  if (named != input.end() && columns.size() != 1)
    throw refusal(400, "input: expected an object with a text for each column, since there are " +
                           std::to_string(columns.size()));
  for (const auto& [name, value] : input)
    if (!name.empty() && std::ranges::count(columns, name) == 0)
      throw refusal(400, "input: the task has no column '" + name.substr(0, 80) + "'");
  const std::string filled = template_.fill([&](std::size_t i) -> const std::string& {
    const auto at = named != input.end() ? named : input.find(columns[i]);
    if (at == input.end()) throw refusal(400, "input: there is no column '" + columns[i] + "'");
    return at->second;
  });
  std::vector<std::int32_t> tokens{separator_};
  tokenizer_.encode(filled, tokens, tern::added_text::plain);
  return tokens;
}

std::vector<std::shared_ptr<score_task>> classifier::tasks(
    const std::vector<std::int32_t>& prompt, serving_clock::time_point deadline) const {
  std::vector<std::shared_ptr<score_task>> tasks;
  const auto add = [&](std::optional<std::size_t> spelled) {
    tasks.push_back(std::make_shared<score_task>(prompt, deadline, words_, spelled));
  };
  if (std::ranges::any_of(words_, [](const auto& w) { return w.size() == 1; })) add({});
  for (std::size_t c = 0; c < words_.size(); ++c)
    if (words_[c].size() > 1) add(c);
  return tasks;
}

std::size_t classifier::added_tokens() const {
  return std::ranges::max(words_, {}, &std::vector<std::int32_t>::size).size() - 1;
}

std::vector<double> probabilities(const std::vector<double>& scores) {
  const double top = std::ranges::max(scores);
  std::vector<double> result;
  double sum = 0;
  for (const double s : scores) {
    if (!tern::is_finite(s))
      throw refusal(500, "the score of a label word is not finite", "model_error");
    sum += result.emplace_back(std::exp(s - top));
  }
  for (double& p : result) p /= sum;
  return result;
}

}  // namespace bitdistill::serving
