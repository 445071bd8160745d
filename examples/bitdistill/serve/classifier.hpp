// Classes of texts: a prompt is made of the text, and the label word that the model would most
// probably answer names the class, as in tern/recipe/classify.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "serve/task.hpp"
#include "tern/checkpoint/model_text.hpp"
#include "tern/data/text_template.hpp"

namespace bitdistill::serving {

/// What the program was told about the task of the model.
struct task_description {
  std::string prompt;               ///< template of the prompt
  std::vector<std::string> words;   ///< label words, by class
  std::vector<std::string> labels;  ///< names of the classes; empty: the label words
  std::string separator;            ///< token before each prompt; empty: as the model's files say
};

/// Scores of label words after a prompt.
class score_task : public task {
 public:
  /// Scores the words that are one token, or, where `spelled` is given, that word of several
  /// tokens. `words` must outlive the task.
  score_task(std::vector<std::int32_t> prompt, serving_clock::time_point deadline,
             const std::vector<std::vector<std::int32_t>>& words,
             std::optional<std::size_t> spelled);

  std::optional<std::int32_t> take(tern::row_view<const float> logits, bool room) override;

  /// Waits at most so long for the log-probabilities of the words, by class; those that this task
  /// does not score are 0. Nothing while they are not known. Throws the refusal with which the task
  /// ended.
  std::optional<std::vector<double>> scores(std::chrono::milliseconds time);

 private:
  const std::vector<std::vector<std::int32_t>>& words_;
  std::optional<std::size_t> spelled_;
  std::size_t at_ = 0;  ///< tokens of the spelled word that were scored
  std::vector<double> scores_;
};

class classifier {
 public:
  /// Throws config_error where the template is broken, if there are not at least two words, and if
  /// the tokenizer does not know one of them or the separator.
  classifier(const task_description& description, const tern::model_text& text);

  /// The names of the classes.
  [[nodiscard]] const std::vector<std::string>& labels() const { return labels_; }
  /// The tokens of the prompt for an input, which has a value for each column, or one value without
  /// a name. Throws a refusal with status 400 where a column is missing or unknown.
  [[nodiscard]] std::vector<std::int32_t> prompt(
      const std::map<std::string, std::string>& input) const;
  /// The tasks whose scores, added up, are those of all words.
  [[nodiscard]] std::vector<std::shared_ptr<score_task>> tasks(
      const std::vector<std::int32_t>& prompt, serving_clock::time_point deadline) const;
  /// Number of tokens that the longest word adds to a prompt.
  [[nodiscard]] std::size_t added_tokens() const;

 private:
  tern::text_template template_;
  std::vector<std::string> labels_;
  std::vector<std::vector<std::int32_t>> words_;
  std::int32_t separator_;
  tern::bpe_tokenizer tokenizer_;
};

/// The probabilities of classes whose words have these log-probabilities. They add up to 1. Throws
/// a refusal with status 500 where a score is not finite.
std::vector<double> probabilities(const std::vector<double>& scores);

}  // namespace bitdistill::serving
