// Which fields of a configuration a file format loses.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tern::inline TERN_ABI {

/// The paths that are not among `held`, the fields that a format holds. A name in `held` stands for
/// all fields of an object, too. A field that no format was taught is never held.
inline std::vector<std::string> unheld_fields(std::vector<std::string> paths,
                                              std::span<const std::string_view> held) {
  std::erase_if(paths, [&](const std::string& path) {
    return std::ranges::any_of(held, [&](std::string_view name) {
      return path.starts_with(name) && (path.size() == name.size() || path[name.size()] == '.');
    });
  });
  return paths;
}

/// "a, b and c", for messages.
inline std::string listed(std::span<const std::string> names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i)
    text += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
  return text;
}

}  // namespace tern::inline TERN_ABI
