// Files with one JSON object on each line (.jsonl), and how they are told from other text.
#pragma once

#include <cstddef>
#include <filesystem>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string_view>

#include "tern/io/text_file.hpp"

namespace tern::inline TERN_ABI {

/// Calls f(line, number) for each line that is more than spaces and tabs, counted from 1.
template <class F>
void for_each_filled_line(std::string_view text, F&& f) {
  for_each_line(text, [&](std::string_view line, std::size_t number) {
    if (line.find_first_not_of(" \t") != line.npos) f(line, number);
  });
}

/// Whether a file holds JSON lines. A name that ends in ".jsonl" says yes and a name that ends in
/// one of `others` says no; ".gz" at the end of the name is left out before. With any other name
/// the file is JSON lines where its first line that is not blank is a JSON object.
inline bool is_json_lines(const std::filesystem::path& path, std::string_view text,
                          std::initializer_list<std::string_view> others) {
  const auto name = path.extension() == ".gz" ? path.stem() : path.filename();
  if (name.extension() == ".jsonl") return true;
  for (const std::string_view other : others)
    if (name.extension() == other) return false;
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == text.npos || text[first] != '{') return false;
  text.remove_prefix(first);
  return nlohmann::json::accept(text.substr(0, text.find('\n')));
}

}  // namespace tern::inline TERN_ABI
