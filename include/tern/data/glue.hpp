// Classification of sentences and sentence pairs from tab-separated files as in GLUE (Wang et al.
// 2019): a header line, one example a line, no quoting. SST-2, MNLI, QNLI, and tasks of one's own.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/data/read_task.hpp"
#include "tern/io/text_file.hpp"

namespace tern::inline TERN_ABI {

/// One line of a data file.
struct classification_example {
  std::string first, second;  ///< `second` is empty in tasks of single sentences
  int label = 0;              ///< index into the task's labels
  bool operator==(const classification_example&) const = default;
};

/// How a task's files look, what its labels mean, and how an example is put to a language model.
/// Columns are found by name in the header line, in any order, others beside them are ignored.
struct glue_task {
  std::string name;                         ///< as the program's --task has it
  std::string first_column, second_column;  ///< no second: single sentences
  std::string label_column;                 ///< of the label
  std::vector<std::string> labels = {};     ///< as in the file; their order gives the numbers
  std::string prompt = {};                  ///< `{1}` and `{2}` are the texts, a label word follows
  std::vector<std::string> label_words = {};  ///< the same, as words a language model can answer
  std::vector<std::string> train_files = {"train.tsv"};  ///< names; the first that exists counts
  /// The development part, one file after another.
  std::vector<std::string> dev_files = {"dev.tsv"};

  /// Whether an example has two texts.
  [[nodiscard]] bool pairs() const { return !second_column.empty(); }

  /// "sst2", "mnli" or "qnli"; throws config_error for another name.
  static glue_task named(std::string_view name) {
    if (name == "sst2")
      return {"sst2", "sentence", "", "label", {"0", "1"}, "{1} it was", {"terrible", "great"}};
    if (name == "mnli")
      return {"mnli",
              "sentence1",
              "sentence2",
              "gold_label",
              {"entailment", "neutral", "contradiction"},
              "{1} So {2}?",
              {"yes", "maybe", "no"},
              {"train.tsv"},
              {"dev_matched.tsv"}};
    if (name == "qnli")
      return {"qnli",
              "question",
              "sentence",
              "label",
              {"entailment", "not_entailment"},
              "{2} Does this answer: {1}",
              {"yes", "no"},
              {"train.tsv", "train_from_dev.tsv"}};
    throw config_error("unknown task '" + std::string(name) + "', expected sst2, mnli or qnli");
  }

  /// Throws config_error unless there are columns and at least two labels, all different, with a
  /// word each.
  void validate() const {
    const auto fail = [&](const std::string& what) {
      throw config_error("task " + name + ": " + what);
    };
    if (first_column.empty() || label_column.empty())
      fail("expected names of a text and a label column");
    if (labels.size() < 2) fail("expected at least two labels");
    if (label_words.size() != labels.size()) fail("expected one label word for each label");
    for (const auto& list : {labels, label_words})
      if (std::set(list.begin(), list.end()).size() != list.size())
        fail("expected labels and their words to be different");
  }
};

namespace detail {

/// Calls f(fields, line number) for each line behind the header; fields are those of `columns`,
/// in their order. Throws format_error "<path>:<line>: expected ..., got ...".
template <class F>
void for_each_glue_row(const std::filesystem::path& path, const std::vector<std::string>& columns,
                       F&& f) {
  const auto fail = [&](std::size_t line, const std::string& expected, const std::string& got) {
    throw format_error(path.string() + ":" + std::to_string(line) + ": expected " + expected +
                       ", got " + got);
  };
  std::vector<std::string> header;
  std::vector<std::size_t> where;
  std::vector<std::string_view> all, wanted(columns.size());
  const auto read_header = [&] {
    header.assign(all.begin(), all.end());
    for (const auto& column : columns) {
      if (std::ranges::count(header, column) != 1)
        fail(1, "a header line with one column '" + column + "'",
             excerpt(quoted_list(header, "and")));
      where.push_back(static_cast<std::size_t>(std::ranges::find(header, column) - header.begin()));
    }
  };
  std::size_t rows = 0;
  for_each_line(read_text(path), [&](std::string_view line, std::size_t number) {
    if (line.empty() && number > 1) return;
    split_tabs(line, all);
    if (number == 1) return read_header();
    if (all.size() != header.size())
      fail(number, std::to_string(header.size()) + " fields separated by tabs",
           std::to_string(all.size()));
    for (std::size_t i = 0; i < where.size(); ++i) wanted[i] = all[where[i]];
    f(std::as_const(wanted), number);
    ++rows;
  });
  if (header.empty())
    fail(1, "a header line with columns " + quoted_list(columns, "and"), "an empty file");
  if (rows == 0) fail(2, "at least one example", "the end of the file");
}

}  // namespace detail

/// Reads a labelled file of the task, plain or .gz. Throws io_error where it cannot be read,
/// format_error naming file and line where it is empty, lacks a column, has lines of too few or
/// too many fields, unknown labels or invalid UTF-8, and config_error as task.validate().
inline std::vector<classification_example> read_glue(const std::filesystem::path& path,
                                                     const glue_task& task) {
  task.validate();
  std::vector<std::string> columns{task.label_column, task.first_column};
  if (task.pairs()) columns.push_back(task.second_column);
  std::vector<classification_example> examples;
  detail::for_each_glue_row(path, columns, [&](const auto& fields, std::size_t line) {
    const auto label = std::ranges::find(task.labels, fields[0]);
    if (label == task.labels.end())
      throw format_error(path.string() + ":" + std::to_string(line) + ": expected label " +
                         detail::quoted_list(task.labels) + ", got '" + detail::excerpt(fields[0]) +
                         "'");
    examples.push_back({std::string(fields[1]), std::string(task.pairs() ? fields[2] : ""),
                        static_cast<int>(label - task.labels.begin())});
  });
  return examples;
}

/// The different labels that stand in a column, sorted: for a task of one's own.
inline std::vector<std::string> read_glue_labels(const std::filesystem::path& path,
                                                 const std::string& label_column) {
  std::set<std::string> labels;
  detail::for_each_glue_row(path, {label_column},
                            [&](const auto& fields, std::size_t) { labels.emplace(fields[0]); });
  return {labels.begin(), labels.end()};
}

}  // namespace tern::inline TERN_ABI
