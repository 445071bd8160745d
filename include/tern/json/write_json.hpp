// JSON to texts and files.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "tern/core/atomic_file.hpp"
#include "tern/core/error.hpp"

namespace tern::inline TERN_ABI {

/// `value` as text, in one line or with an indent. Throws config_error naming `file` where a string
/// is not UTF-8.
template <class Json>
std::string json_text(const Json& value, const std::string& file, int indent = -1) {
  try {
    return value.dump(indent);
  } catch (const nlohmann::json::exception&) {
    throw config_error(file + ": text that is not UTF-8 cannot be written as JSON");
  }
}

/// Writes a file atomically, indented by two. Throws io_error, and config_error as json_text().
inline void write_json(const std::filesystem::path& path, const nlohmann::json& value) {
  write_file(path, json_text(value, path.string(), 2) + "\n");
}

}  // namespace tern::inline TERN_ABI
