// A text task: how the rows of its files become prompts and answers. Classification is an answer
// out of a list of words, summarization is an answer in free text; both are examples of one kind.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/data/text_template.hpp"
#include "tern/metric/text_metric.hpp"

namespace tern::inline TERN_ABI {

/// One example of a task. Neither prompt nor answer has the space that stands between them.
struct text_example {
  std::string prompt;                   ///< everything that the model reads
  std::string answer;                   ///< what the model should write; never empty
  std::vector<std::string> references;  ///< all acceptable answers; `answer` is the first
  int label = -1;                       ///< index into the task's labels; -1 for free text
  bool operator==(const text_example&) const = default;
};

/// The parts that a task's files are divided into.
enum class task_part { train, dev, test };

/// The name of a part.
constexpr const char* name_of(task_part part) {
  return part == task_part::train ? "train" : part == task_part::dev ? "dev" : "test";
}

/// How the files of a task look and what its examples are. Columns are found by name; columns that
/// no template mentions are ignored.
struct text_task {
  std::string name;    ///< name of the task in messages
  std::string prompt;  ///< text_template over the columns, such as "{sentence1} So {sentence2}?"
  std::string answer;  ///< text_template over the columns, such as "{label}" or "{highlights}"
  std::vector<std::string> labels = {};       ///< values that the answer takes in the files
  std::vector<std::string> label_words = {};  ///< what the model says instead of each label
  /// Column with further acceptable answers, one or a list of them; empty ones are left out. Unlike
  /// the columns of the templates it may be missing, in single rows or in a whole file.
  std::string references = {};
  /// File names of each part. The first file that exists is read; ".gz" may follow its name.
  std::vector<std::string> train_files = {"train.tsv", "train.jsonl", "train.ndjson"};
  std::vector<std::string> dev_files = {"dev.tsv", "dev.jsonl", "dev.ndjson"};
  std::vector<std::string> test_files = {"test.tsv", "test.jsonl", "test.ndjson"};
  std::vector<std::string> metrics = {
      "accuracy"};  ///< names of metrics, see metric/text_metric.hpp

  /// Whether the answer is one of `labels` rather than free text.
  [[nodiscard]] bool classifies() const { return !label_words.empty() || !labels.empty(); }

  /// The file names of a part; none where the task has no such part.
  [[nodiscard]] const std::vector<std::string>& files(task_part part) const {
    return part == task_part::train ? train_files : part == task_part::dev ? dev_files : test_files;
  }

  /// Throws config_error where a template is malformed, the answer mentions no column, a metric is
  /// unknown, or the labels do not fit: labels and label words are both empty, or there are at
  /// least two labels, one label word for each, and all labels and all words are different.
  void validate() const {
    const auto fail = [&](const std::string& what) {
      throw config_error("task " + name + ": " + what);
    };
    static_cast<void>(text_template(prompt));
    for (const auto& metric : metrics) static_cast<void>(named_text_metric(metric));
    if (text_template(answer).columns().empty())
      fail("expected an answer with a column, such as '{label}', got '" + answer + "'");
    if (!classifies()) return;
    if (labels.size() < 2)
      fail("expected at least two labels, got " + std::to_string(labels.size()));
    if (label_words.size() != labels.size())
      fail("expected one label word for each label, got " + std::to_string(label_words.size()) +
           " words for " + std::to_string(labels.size()) +
           " labels: the option 'labels' says which ones there are");
    for (const auto& list : {labels, label_words})
      if (std::set(list.begin(), list.end()).size() != list.size())
        fail("expected labels and their words to be different");
  }
};

}  // namespace tern::inline TERN_ABI
