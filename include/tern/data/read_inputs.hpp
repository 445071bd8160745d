// Reads inputs of a task that nobody has labelled. A teacher says what their answers are.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/data/data_row.hpp"
#include "tern/data/read_task.hpp"
#include "tern/data/text_task.hpp"
#include "tern/data/text_template.hpp"
#include "tern/io/text_file.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// Whether the first line of a text has all of these fields, separated by tabs.
inline bool has_header(std::string_view text, const std::vector<std::string>& columns) {
  std::string_view line = text.substr(0, text.find('\n'));
  if (line.ends_with('\r')) line.remove_suffix(1);
  std::vector<std::string_view> fields;
  split_tabs(line, fields);
  return std::ranges::all_of(columns,
                             [&](const auto& c) { return std::ranges::count(fields, c) > 0; });
}

}  // namespace detail

/// The prompts of a file of inputs, in its order. The file has rows with the columns of the prompt,
/// as for_each_data_row() reads them. Where the prompt has one column, it may also be plain text
/// without a header: then each line that is not blank is an input. Throws as for_each_data_row(),
/// and format_error where such a text has no line.
inline std::vector<std::string> read_inputs(const std::filesystem::path& path,
                                            const text_task& task) {
  const text_template prompt(task.prompt);
  const std::string text = read_text(path);
  const text_form form = text_form_of(path, text);
  std::vector<std::string> inputs;
  if (form != text_form::plain || prompt.columns().size() != 1 ||
      detail::has_header(text, prompt.columns())) {
    const detail::row_texts texts({prompt}, "");
    for_each_data_row(path, text, texts.columns(),
                      [&](const data_row& row) { inputs.push_back(texts.joined(row, 0)); });
    return inputs;
  }
  for_each_line(text, [&](std::string_view line, std::size_t) {
    if (line.find_first_not_of(" \t") != line.npos)
      inputs.push_back(prompt.fill([&](std::size_t) { return line; }));
  });
  if (inputs.empty()) throw format_error(path.string() + ":1: expected text, got an empty file");
  return inputs;
}

}  // namespace tern::inline TERN_ABI
