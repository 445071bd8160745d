// Writing what belongs to a model besides its weights into a folder that has the weights.
#pragma once

#include <filesystem>
#include <string>

#include "tern/checkpoint/make_folder.hpp"
#include "tern/checkpoint/model_text.hpp"
#include "tern/core/atomic_file.hpp"
#include "tern/json/read_json.hpp"
#include "tern/json/write_json.hpp"

namespace tern::inline TERN_ABI {

/// Writes the tokenizer and the files beside it, and adds the ids of special tokens to config.json.
/// Files and ids that the folder has already stay. tokenizer.json is written last, so a folder that
/// has it has all. Throws io_error or format_error.
inline void save_model_text(const model_text& text, const std::filesystem::path& folder) {
  constexpr const char* last = "tokenizer.json";
  for (const auto& [name, content] : text.files) {
    const auto path = folder / name;
    if (name == last || std::filesystem::exists(path)) continue;
    make_folder(path.parent_path());
    write_file(path, content);
  }
  const auto file = folder / "config.json";
  auto config = read_json(file);
  const auto before = config;
  for (const auto& [key, value] : text.ids.items())
    if (!config.contains(key)) config[key] = value;
  if (config != before) write_json(file, config);
  if (std::filesystem::exists(folder / last)) return;
  if (const auto copy = text.files.find(last); copy != text.files.end())
    write_file(folder / last, copy->second);
  else if (text.tokenizer)
    text.tokenizer->save(folder / last);
}

}  // namespace tern::inline TERN_ABI
