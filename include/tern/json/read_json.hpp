// JSON from texts and files. Errors name the file and the line; keys that stand twice in an object,
// which most parsers merge silently, are refused.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/mapped_file.hpp"

namespace tern::inline TERN_ABI {

/// Deepest nesting that is read. Functions that walk a value recurse, so it must have an end.
inline constexpr int max_json_depth = 256;

/// Parses a text. Throws format_error naming `file` where it is not JSON, nested too deeply, or has
/// a key twice in one object.
inline nlohmann::json parse_json(std::string_view text, const std::string& file) {
  using nlohmann::json;
  std::vector<std::unordered_set<std::string>> open_objects;
  const auto watch = [&](int depth, json::parse_event_t event, json& value) {
    if (depth > max_json_depth)
      throw format_error(file + ": nested deeper than " + std::to_string(max_json_depth));
    if (event == json::parse_event_t::object_start) open_objects.emplace_back();
    if (event == json::parse_event_t::object_end) open_objects.pop_back();
    if (event == json::parse_event_t::key &&
        !open_objects.back().insert(value.get_ref<const std::string&>()).second)
      throw format_error(file + ": key " + value.dump() + " stands twice in one object");
    return true;
  };
  try {
    return json::parse(text, watch);
  } catch (const json::exception& e) {
    const std::string_view what = e.what();  // "[json.exception.<name>.<id>] <message>"
    throw format_error(file + ": not valid JSON: " + std::string(what.substr(what.find(']') + 2)));
  }
}

/// Parses a file. Throws io_error where it cannot be read, and format_error as parse_json().
inline nlohmann::json read_json(const std::filesystem::path& path) {
  const mapped_file file(path);
  return parse_json(file.text(), path.string());
}

}  // namespace tern::inline TERN_ABI
