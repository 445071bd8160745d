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
#include "tern/core/file_kind.hpp"
#include "tern/core/mapped_file.hpp"

namespace tern::inline TERN_ABI {

/// Deepest nesting that is read. Functions that walk a value recurse, so it must have an end.
inline constexpr int max_json_depth = 256;

/// Parses a text. Throws format_error naming `file` where it is not JSON, nested too deeply, or has
/// a key twice in one object.
template <class Json = nlohmann::json>
Json parse_json(std::string_view text, const std::string& file) {
  std::vector<std::unordered_set<std::string>> open_objects;
  const auto watch = [&](int depth, typename Json::parse_event_t event, Json& value) {
    if (depth > max_json_depth)
      throw format_error(file + ": nested deeper than " + std::to_string(max_json_depth));
    if (event == Json::parse_event_t::object_start) open_objects.emplace_back();
    if (event == Json::parse_event_t::object_end) open_objects.pop_back();
    if (event == Json::parse_event_t::key &&
        !open_objects.back().insert(value.template get_ref<const std::string&>()).second)
      throw format_error(file + ": key " + value.dump() + " stands twice in one object");
    return true;
  };
  try {
    return Json::parse(text, watch);
  } catch (const nlohmann::json::exception& e) {
    const std::string_view what = e.what();  // "[json.exception.<name>.<id>] <message>"
    throw format_error(file + ": not valid JSON: " + std::string(what.substr(what.find(']') + 2)));
  }
}

/// Parses a file. Throws io_error where it cannot be read, and format_error as parse_json(), which
/// says of what kind the file is where it is known to be another one.
template <class Json = nlohmann::json>
Json read_json(const std::filesystem::path& path) {
  const mapped_file file(path);
  refuse_known_kind(file.text(), path.string(), "JSON");
  return parse_json<Json>(file.text(), path.string());
}

}  // namespace tern::inline TERN_ABI
