// The fields of a configuration that a file format would lose.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tern::inline TERN_ABI {

/// Those of the paths that are not among `held`, the fields that a format holds. The name of an
/// object in `held` stands for all its fields. A new field is not in any such list, so it is never
/// held.
inline std::vector<std::string> unheld_fields(std::vector<std::string> paths,
                                              std::span<const std::string_view> held) {
  std::erase_if(paths, [&](const std::string& path) {
    return std::ranges::any_of(held, [&](std::string_view name) {
      return path.starts_with(name) && (path.size() == name.size() || path[name.size()] == '.');
    });
  });
  return paths;
}

/// The names as text for messages, such as "a, b and c".
inline std::string listed(std::span<const std::string> names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i)
    text += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
  return text;
}

}  // namespace tern::inline TERN_ABI
