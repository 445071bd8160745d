// The data of a recipe as text, before there is a tokenizer.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "tern/data/corpus.hpp"
#include "tern/data/read_task.hpp"
#include "tern/data/text_task.hpp"
#include "tern/recipe/data_source.hpp"

namespace tern::inline TERN_ABI {

/// What stages learn from and are measured on.
struct task_texts {
  text_task task;  ///< what the examples are; empty where no stage needs a task
  std::vector<text_example> train, dev, test;  ///< test may be empty
  std::vector<std::string> documents;          ///< the corpus
};

/// The task that a data source describes: a named one with what the source says otherwise, or one
/// of its own named "own". Throws config_error for an unknown name.
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
  replace(task.metrics, d.metrics);
  return task;
}

namespace detail {

template <class T>
void keep_first(std::vector<T>& list, std::size_t most) {
  if (most != 0 && list.size() > most) list.resize(most);
}

}  // namespace detail

/// Reads the parts of the task that have files. Throws as task_of() and read_task_part(); training
/// and development parts must exist unless `part` asks for one part alone.
inline task_texts read_task_texts(const data_source& d) {
  task_texts texts;
  texts.task = with_labels(task_of(d), d.directory);
  texts.train = read_task_part(d.directory, texts.task, task_part::train);
  texts.dev = read_task_part(d.directory, texts.task, task_part::dev);
  if (has_task_part(d.directory, texts.task, task_part::test))
    texts.test = read_task_part(d.directory, texts.task, task_part::test);
  detail::keep_first(texts.train, d.train_examples);
  detail::keep_first(texts.dev, d.dev_examples);
  detail::keep_first(texts.test, d.test_examples);
  return texts;
}

/// Reads the corpus. Throws as read_corpus().
inline std::vector<std::string> read_documents(const data_source& d) {
  auto documents = read_corpus({d.corpus.begin(), d.corpus.end()});
  detail::keep_first(documents, d.documents);
  return documents;
}

}  // namespace tern::inline TERN_ABI
