// Files of JSON objects, one on each line or in one list, and how they are told from other text.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "tern/io/text_file.hpp"
#include "tern/json/read_json.hpp"

namespace tern::inline TERN_ABI {

/// What a text file holds.
enum class text_form {
  plain,       ///< text, or a table separated by tabs
  json_lines,  ///< a JSON object on each line
  json,        ///< one JSON value: a list of objects, or one object
};

/// Calls f(line, number) for each line that is more than spaces and tabs, counted from 1.
template <class F>
void for_each_filled_line(std::string_view text, F&& f) {
  for_each_line(text, [&](std::string_view line, std::size_t number) {
    if (line.find_first_not_of(" \t") != line.npos) f(line, number);
  });
}

/// The form of a file. The content tells it: JSON lines begin with a line that is a JSON object,
/// and JSON is a list or an object as a whole. A name that ends in ".jsonl" or ".ndjson" asks for
/// JSON lines also where the content is broken, and ".json" for JSON; ".gz" at the end of the name
/// is left out before, and capital letters count as small ones.
inline text_form text_form_of(const std::filesystem::path& path, std::string_view text) {
  std::string name = path.filename().string();
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  const bool lines = name.ends_with(".jsonl") || name.ends_with(".ndjson");
  const text_form named = lines                     ? text_form::json_lines
                          : name.ends_with(".json") ? text_form::json
                                                    : text_form::plain;
  constexpr std::string_view blanks = " \t\r\n";
  text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
  if (text.starts_with('{')) {
    if (nlohmann::json::accept(text.substr(0, text.find('\n')))) return text_form::json_lines;
    return named == text_form::plain && nlohmann::json::accept(text) ? text_form::json : named;
  }
  const bool list =
      text.starts_with('[') &&
      text.substr(std::min(text.find_first_not_of(blanks, 1), text.size())).starts_with('{');
  return list && nlohmann::json::accept(text) ? text_form::json : named;
}

/// Calls f(object, place) for each JSON value of a file in one of the two forms; `place` is what
/// messages begin with: "<path>:<line>", or "<path>: item <number>" in a list. Throws format_error
/// where the text is not JSON.
template <class F>
void for_each_json_value(std::string_view text, text_form form, const std::string& path, F&& f) {
  if (form == text_form::json_lines)
    return for_each_filled_line(text, [&](std::string_view line, std::size_t number) {
      const std::string place = path + ":" + std::to_string(number);
      f(parse_json(line, place), place);
    });
  const auto all = parse_json(text, path);
  if (!all.is_array()) return f(all, path);
  for (std::size_t i = 0; i < all.size(); ++i) f(all[i], path + ": item " + std::to_string(i + 1));
}

}  // namespace tern::inline TERN_ABI
