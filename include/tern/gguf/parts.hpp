// The files of a GGUF model that was split, as llama.cpp does it: NAME-00001-of-00003.gguf and so
// on. The first one has the metadata, and each has some of the tensors.
#pragma once

#include <array>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/os_error.hpp"
#include "tern/gguf/metadata.hpp"

namespace tern::inline TERN_ABI {

/// Key of a split file: the number of the part, counted from 0.
inline constexpr std::string_view gguf_split_number = "split.no";
/// Key of a split file: the number of parts.
inline constexpr std::string_view gguf_split_count = "split.count";
/// Key of a split file: the number of tensors in all parts.
inline constexpr std::string_view gguf_split_tensors = "split.tensors.count";

/// The end of the name of a part, such as "-00001-of-00003.gguf". Parts are counted from 0.
inline std::string gguf_part_ending(std::size_t part, std::size_t count) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "-%05zu-of-%05zu.gguf", part + 1, count);
  return text.data();
}

/// The paths of all parts, in order, of the file `path` with this metadata: only `path` where it is
/// not split. Throws format_error where a part has another name, so that the others cannot be
/// found, and where one of them is missing.
inline std::vector<std::filesystem::path> gguf_parts(const gguf_metadata& metadata,
                                                     const std::filesystem::path& path) {
  constexpr std::size_t most_parts = 99999;  // the numbers in names have five digits
  const auto count =
      metadata.contains(gguf_split_count) ? metadata.get<std::size_t>(gguf_split_count) : 1;
  if (count <= 1) return {path};
  if (count > most_parts)
    metadata.fail(gguf_split_count, "expected at most " + std::to_string(most_parts) + ", got " +
                                        std::to_string(count));
  const auto number = metadata.get<std::size_t>(gguf_split_number);
  const std::string what = path.string() + ": is part " + std::to_string(number + 1) + " of " +
                           std::to_string(count) + " of a split GGUF file";
  const std::string name = path.filename().string(), ending = gguf_part_ending(number, count);
  if (number >= count || !name.ends_with(ending))
    throw format_error(what + ", so that its name must end in '" + ending +
                       "' for the other parts to be found");
  const std::string stem = name.substr(0, name.size() - ending.size());
  std::vector<std::filesystem::path> parts;
  for (std::size_t i = 0; i < count; ++i) {
    parts.push_back(path.parent_path() / (stem + gguf_part_ending(i, count)));
    if (!path_exists(parts.back()))
      throw format_error(what + ", but '" + parts.back().string() + "' is missing");
  }
  return parts;
}

}  // namespace tern::inline TERN_ABI
