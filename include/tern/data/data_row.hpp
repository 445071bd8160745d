// The rows of a data file by the names of their columns: tab-separated lines below a header line as
// in GLUE (no quoting), JSON lines, or a JSON list of objects. All may be gzip-compressed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/data/json_lines.hpp"
#include "tern/data/quoted_list.hpp"
#include "tern/io/text_file.hpp"
#include "tern/json/read_json.hpp"

namespace tern::inline TERN_ABI {

/// The values of one column in one row: the items of a list, else a single value.
using data_field = std::vector<std::string>;

/// The columns that a reader asks for.
struct data_columns {
  std::vector<std::string> required;  ///< columns that each row must have
  std::vector<std::string> optional =
      {};  ///< columns whose fields are empty where they are missing
};

/// What a row holds in the columns that the reader asked for.
struct data_row {
  std::string place;  ///< "<path>:<line>", which messages begin with; see for_each_json_value()
  std::vector<data_field> fields;  ///< one for each required column, then for each optional

  /// Throws format_error "<path>:<line>: expected <expected>, got <got>".
  [[noreturn]] void fail(const std::string& expected, const std::string& got) const {
    throw format_error(place + ": expected " + expected + ", got " + got);
  }
};

namespace detail {

inline void split_tabs(std::string_view line, std::vector<std::string_view>& fields) {
  fields.clear();
  for (std::size_t tab = 0; tab != line.npos; line.remove_prefix(tab == line.npos ? 0 : tab + 1)) {
    tab = line.find('\t');
    fields.push_back(line.substr(0, tab));
  }
}

/// The index of `column` in the header; header.size() where it is missing. Throws format_error
/// where the column stands there twice, or is required and missing.
inline std::size_t find_column(const std::vector<std::string>& header, const std::string& column,
                               bool required, const data_row& row) {
  const auto count = std::ranges::count(header, column);
  if (count > 1 || (count == 0 && required))
    row.fail("a header line with one column '" + column + "'", excerpt(quoted_list(header, "and")));
  return static_cast<std::size_t>(std::ranges::find(header, column) - header.begin());
}

/// Calls f(const data_row&) for each line of a tab-separated text.
template <class F>
void for_each_tsv_row(std::string_view text, const std::string& path, const data_columns& columns,
                      F&& f) {
  std::vector<std::string> header;
  std::vector<std::size_t> where;  // the place in the header of each column asked for
  std::vector<std::string_view> line_fields;
  std::size_t rows = 0;
  data_row row{path + ":1", {}};
  const auto read_header = [&] {
    header.assign(line_fields.begin(), line_fields.end());
    for (const auto& column : columns.required)
      where.push_back(find_column(header, column, true, row));
    for (const auto& column : columns.optional)
      where.push_back(find_column(header, column, false, row));
    row.fields.resize(where.size());
  };
  for_each_line(text, [&](std::string_view line, std::size_t number) {
    if (line.empty() && number > 1) return;
    split_tabs(line, line_fields);
    if (number == 1) return read_header();
    row.place = path + ":" + std::to_string(number);
    if (line_fields.size() != header.size())
      row.fail(std::to_string(header.size()) + " fields separated by tabs",
               std::to_string(line_fields.size()));
    for (std::size_t i = 0; i < where.size(); ++i)
      if (where[i] < header.size()) row.fields[i] = {std::string(line_fields[where[i]])};
    f(std::as_const(row));
    ++rows;
  });
  if (header.empty())
    row.fail("a header line with columns " + quoted_list(columns.required, "and"), "an empty file");
  row.place = path + ":2";
  if (rows == 0) row.fail("at least one example", "the end of the file");
}

/// The value of a key as text. Strings stay as they are; numbers and booleans are written as in
/// JSON.
inline data_field json_field(const nlohmann::json& value, const std::string& key,
                             const data_row& row) {
  data_field field;
  const auto append = [&](const nlohmann::json& item, const std::string& expected) {
    if (!item.is_string() && !item.is_number() && !item.is_boolean())
      row.fail(expected + " as value of '" + key + "'", item.type_name());
    field.push_back(item.is_string() ? item.get<std::string>() : item.dump());
  };
  if (!value.is_array())
    append(value, "a string, a number, true, false or a list of these");
  else
    for (const auto& item : value) append(item, "a list of strings, numbers, true or false");
  return field;
}

/// Calls f(const data_row&) for each value of a text, which must be a JSON object.
template <class F>
void for_each_json_row(std::string_view text, text_form form, const std::string& path,
                       const data_columns& columns, F&& f) {
  std::size_t rows = 0;
  data_row row{path + ":1", {}};
  for_each_json_value(text, form, path, [&](const auto& object, const std::string& place) {
    row.place = place;
    row.fields.clear();
    if (!object.is_object()) row.fail("a JSON object", object.type_name());
    for (const auto& column : columns.required) {
      const auto value = object.find(column);
      if (value == object.end()) {
        std::vector<std::string> keys;
        for (const auto& [key, ignored] : object.items()) keys.push_back(key);
        row.fail("a JSON object with a key '" + column + "'",
                 keys.empty() ? "{}" : excerpt(quoted_list(keys, "and")));
      }
      row.fields.push_back(json_field(*value, column, row));
    }
    for (const auto& column : columns.optional) {
      const auto value = object.find(column);
      const bool given = value != object.end() && !value->is_null();
      row.fields.push_back(given ? json_field(*value, column, row) : data_field{});
    }
    f(std::as_const(row));
    ++rows;
  });
  if (rows == 0) row.fail("a JSON object on each line", "an empty file");
}

}  // namespace detail

/// for_each_data_row() for a file whose content, `text`, has been read. Messages name the path.
template <class F>
void for_each_data_row(const std::filesystem::path& path, const std::string& text,
                       const data_columns& columns, F&& f) {
  const text_form form = text_form_of(path, text);
  if (form == text_form::plain)
    detail::for_each_tsv_row(text, path.string(), columns, f);
  else
    detail::for_each_json_row(text, form, path.string(), columns, f);
}

/// Calls f(const data_row&) for each row of a file. text_form_of() tells whether the file is JSON
/// lines or JSON; else it is tab-separated with a header line. Throws io_error, or format_error
/// "<path>:<line>: expected ..., got ..." where a required column is missing (the message names
/// those that exist), a line has too few or too many fields or is no JSON object, or the file is
/// not UTF-8 or has no row.
template <class F>
void for_each_data_row(const std::filesystem::path& path, const data_columns& columns, F&& f) {
  for_each_data_row(path, read_text(path), columns, f);
}

}  // namespace tern::inline TERN_ABI
