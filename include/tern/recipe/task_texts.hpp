// The data of a recipe as text. A tokenizer may be trained on them, so they are read first.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tern/data/corpus.hpp"
#include "tern/data/named_task.hpp"
#include "tern/data/read_inputs.hpp"
#include "tern/data/read_task.hpp"
#include "tern/data/text_task.hpp"
#include "tern/recipe/data_source.hpp"

namespace tern::inline TERN_ABI {

/// The texts that stages learn from and are measured on.
struct task_texts {
  text_task task;  ///< what the examples are; empty where no stage needs a task
  std::vector<text_example> train, dev, test;  ///< parts of the task; they may be empty
  /// Inputs without labels. The first label stands in the place of theirs.
  std::vector<text_example> unlabelled;
  std::vector<std::string> documents;  ///< documents of the corpus
};

/// The task that a data source describes. It is the task of that name, or an empty one where the
/// name is "own"; fields that the source has replace those of the task. Throws config_error for an
/// unknown name.
inline text_task task_of(const data_source& d) {
  text_task task =
      d.task == "own" ? text_task{.name = "own", .prompt = {}, .answer = {}} : named_task(d.task);
  const auto replace = [](auto& field, const auto& given) {
    if (!given.empty()) field = given;
  };
  replace(task.prompt, d.prompt);
  replace(task.answer, d.answer);
  replace(task.labels, d.labels);
  replace(task.label_words, d.label_words);
  if (d.task == "own" && !task.classifies()) task.metrics = named_task("scitldr").metrics;
  replace(task.metrics, d.metrics);
  return task;
}

namespace detail {

template <class T>
void keep_first(std::vector<T>& list, std::size_t most) {
  if (most != 0 && list.size() > most) list.resize(most);
}

}  // namespace detail

namespace detail {

/// The inputs of the files that the source names.
inline std::vector<text_example> read_unlabelled(const data_source& d, const text_task& task) {
  std::vector<text_example> examples;
  if (!d.unlabelled.empty() && !task.classifies())
    throw config_error(
        "data.unlabelled: expected a task with labels, since a teacher is not asked to write "
        "answers in free text");
  for (const std::string& file : d.unlabelled)
    for (std::string& prompt : read_inputs(file, task))
      examples.push_back({std::move(prompt), task.label_words.at(0), {}, 0});
  return examples;
}

}  // namespace detail

/// Reads the parts of the task that have files, and keeps as many examples of each as the source
/// wants, and the inputs without labels. A training part must exist. `measured`: whether results
/// are measured, so that a development part or a test part must exist, too. Throws as task_of(),
/// read_task_part() and read_inputs() do, and config_error where inputs without labels belong to a
/// task of free text.
inline task_texts read_task_texts(const data_source& d, bool measured = true) {
  task_texts texts;
  texts.task = with_labels(task_of(d), d.directory);
  const auto read = [&](task_part part, std::size_t most) {
    auto examples = read_task_part(d.directory, texts.task, part);
    detail::keep_first(examples, most);
    return examples;
  };
  texts.train = read(task_part::train, d.train_examples);
  if (has_task_part(d.directory, texts.task, task_part::test))
    texts.test = read(task_part::test, d.test_examples);
  if ((measured && texts.test.empty()) || has_task_part(d.directory, texts.task, task_part::dev))
    texts.dev = read(task_part::dev, d.dev_examples);
  texts.unlabelled = detail::read_unlabelled(d, texts.task);
  return texts;
}

/// Reads one part into the member of its name; the other parts stay empty. Throws as task_of() and
/// read_task_part() do.
inline task_texts read_task_texts(const data_source& d, task_part part) {
  task_texts texts;
  texts.task = with_labels(task_of(d), d.directory);
  auto& examples = part == task_part::train ? texts.train
                   : part == task_part::dev ? texts.dev
                                            : texts.test;
  examples = read_task_part(d.directory, texts.task, part);
  detail::keep_first(examples, part == task_part::train ? d.train_examples
                               : part == task_part::dev ? d.dev_examples
                                                        : d.test_examples);
  return texts;
}

/// Reads the corpus, at most `d.documents` documents of it. Throws as read_corpus() does.
inline std::vector<std::string> read_documents(const data_source& d) {
  auto documents = read_corpus({d.corpus.begin(), d.corpus.end()});
  detail::keep_first(documents, d.documents);
  return documents;
}

}  // namespace tern::inline TERN_ABI
