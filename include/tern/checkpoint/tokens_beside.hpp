// Added tokens that other files of a folder than tokenizer.json name. Files that were edited by
// hand, or written by old versions of Hugging Face transformers, name some only there.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tern/core/os_error.hpp"
#include "tern/json/json_fields.hpp"
#include "tern/json/read_json.hpp"
#include "tern/text/added_tokens.hpp"
#include "tern/text/tokenizer_json_reader.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// A JSON object of a folder, or an empty one where the folder has no such file.
inline nlohmann::json object_beside(const std::filesystem::path& folder, const char* name) {
  const auto path = folder / name;
  if (!path_exists(path)) return nlohmann::json::object();
  return read_json(path);
}

}  // namespace detail

/// The added tokens that tokenizer_config.json and added_tokens.json of the folder name, in the
/// order in which transformers adds them. Throws format_error or config_error naming file and key.
inline std::vector<added_token> tokens_beside(const std::filesystem::path& folder) {
  std::vector<added_token> tokens;
  std::map<std::int32_t, added_token> by_id;
  const auto take_by_id = [&] {
    for (auto& [id, token] : by_id) tokens.push_back(std::move(token));
    by_id.clear();
  };
  const auto config = detail::object_beside(folder, "tokenizer_config.json");
  const json_fields named(config, (folder / "tokenizer_config.json").string());
  if (const char* key = "added_tokens_decoder"; named.has(key)) {
    const json_fields list = named.object(key);
    for (const auto& [number, ignored] : config.at(key).items()) {
      std::int32_t id = 0;
      const char* end = number.data() + number.size();
      if (std::from_chars(number.data(), end, id).ptr != end || id < 0)
        named.fail(key, "token ids as keys", '"' + number + '"');
      by_id.emplace(id, detail::read_added_token(list.object(number), id));
    }
  }
  take_by_id();
  const auto older = detail::object_beside(folder, "added_tokens.json");
  const json_fields ids(older, (folder / "added_tokens.json").string());
  for (const auto& [content, ignored] : older.items()) {
    const auto id = ids.get<std::int32_t>(content);
    by_id.emplace(id, added_token{.content = content, .id = id});
  }
  take_by_id();
  return tokens;
}

}  // namespace tern::inline TERN_ABI
