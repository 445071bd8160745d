// Reads the files of a text task.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/os_error.hpp"
#include "tern/data/data_row.hpp"
#include "tern/data/quoted_list.hpp"
#include "tern/data/text_task.hpp"
#include "tern/data/text_template.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// Fills templates from the rows of a file.
class row_texts {
 public:
  /// `further` may name a column beside those of the templates; rows may lack it.
  row_texts(std::vector<text_template> templates, const std::string& further)
      : templates_(std::move(templates)) {
    for (const auto& t : templates_)
      for (const auto& column : t.columns())
        if (std::ranges::count(columns_.required, column) == 0) columns_.required.push_back(column);
    if (!further.empty()) columns_.optional.push_back(further);
  }

  [[nodiscard]] const data_columns& columns() const { return columns_; }

  /// Fills template `which` once; the items of a list are joined by spaces.
  [[nodiscard]] std::string joined(const data_row& row, std::size_t which) const {
    const text_template& t = templates_[which];
    return t.fill([&](std::size_t i) {
      std::string text;
      for (const auto& item : field(row, t.columns()[i])) text += (text.empty() ? "" : " ") + item;
      return text;
    });
  }

  /// Fills template `which` once for each item of the lists in its columns. Throws format_error
  /// where a list is empty or two lists differ in length.
  [[nodiscard]] std::vector<std::string> each(const data_row& row, std::size_t which) const {
    const text_template& t = templates_[which];
    std::size_t count = 1;
    for (const auto& column : t.columns()) {
      const std::size_t size = field(row, column).size();
      if (size == 0) row.fail("at least one item in '" + column + "'", "an empty list");
      if (size > 1 && count > 1 && size != count)
        row.fail(std::to_string(count) + " items in '" + column + "'", std::to_string(size));
      count = std::max(count, size);
    }
    std::vector<std::string> texts;
    for (std::size_t n = 0; n < count; ++n)
      texts.push_back(t.fill([&](std::size_t i) {
        const data_field& items = field(row, t.columns()[i]);
        return items.size() == 1 ? items[0] : items[n];
      }));
    return texts;
  }

 private:
  [[nodiscard]] const data_field& field(const data_row& row, const std::string& column) const {
    const auto& names = columns_.required;
    return row.fields[static_cast<std::size_t>(std::ranges::find(names, column) - names.begin())];
  }

  std::vector<text_template> templates_;
  data_columns columns_;
};

/// The only answer of a row in a task of classification.
inline std::string one_answer(const data_row& row, std::vector<std::string> answers) {
  if (answers.size() != 1) row.fail("one label", "a list of " + std::to_string(answers.size()));
  return std::move(answers[0]);
}

}  // namespace detail

/// The examples of a file, in its order. A list in a column of the prompt is joined by spaces; a
/// list in a column of the answer gives one acceptable answer for each item, the first of which is
/// the answer. Throws as for_each_data_row() and text_task::validate(), and format_error naming
/// file and line where a label is unknown or an answer is empty.
inline std::vector<text_example> read_task_file(const std::filesystem::path& path,
                                                const text_task& task) {
  task.validate();
  const detail::row_texts texts({text_template(task.prompt), text_template(task.answer)},
                                task.references);
  std::vector<text_example> examples;
  for_each_data_row(path, texts.columns(), [&](const data_row& row) {
    text_example example{texts.joined(row, 0), {}, texts.each(row, 1)};
    if (task.classifies()) {
      const auto value = detail::one_answer(row, std::move(example.references));
      const auto label = std::ranges::find(task.labels, value);
      if (label == task.labels.end())
        row.fail("label " + detail::quoted_list(task.labels), "'" + detail::excerpt(value) + "'");
      example.label = static_cast<int>(label - task.labels.begin());
      example.references = {task.label_words[static_cast<std::size_t>(example.label)]};
    } else if (!task.references.empty()) {
      for (const std::string& further : row.fields.back())
        if (!further.empty()) example.references.push_back(further);
    }
    example.answer = example.references[0];
    if (example.answer.empty())
      row.fail("an answer '" + task.answer + "' of at least one character", "none");
    examples.push_back(std::move(example));
  });
  return examples;
}

/// The different answers of files in sorted order: the labels of a task that does not know its own.
inline std::vector<std::string> read_labels(const std::vector<std::filesystem::path>& paths,
                                            const text_task& task) {
  const detail::row_texts texts({text_template(task.answer)}, "");
  std::set<std::string> labels;
  for (const auto& path : paths)
    for_each_data_row(path, texts.columns(), [&](const data_row& row) {
      labels.insert(detail::one_answer(row, texts.each(row, 0)));
    });
  return {labels.begin(), labels.end()};
}

namespace detail {

/// The first of the names that exists. Throws config_error where the same part is there in two
/// forms, such as train.tsv and train.jsonl.
inline std::optional<std::filesystem::path> look_for_data_file(
    const std::filesystem::path& directory, const std::vector<std::string>& names) {
  const auto stem = [](const std::string& name) { return name.substr(0, name.find('.')); };
  std::string found;
  for (const auto& name : names)
    for (const auto& file : {name, name + ".gz"}) {
      if ((!found.empty() && stem(found) != stem(name)) || !path_exists(directory / file)) continue;
      if (!found.empty())
        throw config_error("'" + directory.string() + "' has both " + found + " and " + file +
                           ", expected one of them");
      found = file;
    }
  if (found.empty()) return {};
  return directory / found;
}

}  // namespace detail

/// The first of `names` that exists in `directory`, as it is or with ".gz" behind it. Throws
/// io_error naming them all where none exists.
inline std::filesystem::path find_data_file(const std::filesystem::path& directory,
                                            const std::vector<std::string>& names) {
  if (auto path = detail::look_for_data_file(directory, names)) return *std::move(path);
  std::error_code unknown;
  throw io_error("cannot find " + detail::quoted_list(names) + " in '" + directory.string() + "'" +
                 (std::filesystem::is_regular_file(directory, unknown)
                      ? ", which is a file, not a folder"
                      : ""));
}

/// The task with labels: where it has label words and no labels, these are the different answers of
/// its training file in sorted order. Without that file they are those of its other files. Throws
/// as read_labels() and find_data_file().
inline text_task with_labels(text_task task, const std::filesystem::path& directory) {
  if (task.label_words.empty() || !task.labels.empty()) return task;
  std::vector<std::filesystem::path> files;
  if (auto train = detail::look_for_data_file(directory, task.train_files))
    files.push_back(*std::move(train));
  else
    for (const auto* names : {&task.dev_files, &task.test_files})
      if (auto file = detail::look_for_data_file(directory, *names))
        files.push_back(*std::move(file));
  if (files.empty()) files.push_back(find_data_file(directory, task.train_files));  // throws
  task.labels = read_labels(files, task);
  return task;
}

/// Whether a part of a task has a file in `directory`.
inline bool has_task_part(const std::filesystem::path& directory, const text_task& task,
                          task_part part) {
  return detail::look_for_data_file(directory, task.files(part)).has_value();
}

/// The examples of one part of a task. Throws config_error where the task has no such part, and as
/// find_data_file(), with_labels() and read_task_file().
inline std::vector<text_example> read_task_part(const std::filesystem::path& directory,
                                                const text_task& task, task_part part) {
  if (task.files(part).empty())
    throw config_error("task " + task.name + " has no part " + name_of(part));
  return read_task_file(find_data_file(directory, task.files(part)), with_labels(task, directory));
}

}  // namespace tern::inline TERN_ABI
