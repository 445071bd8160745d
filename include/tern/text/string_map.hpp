// A hash map with strings as keys that can be searched by string_view without making a string.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// Hash that lets a map of strings be searched by string_view.
struct string_hash {
  using is_transparent = void;  ///< std::unordered_map requires it
  /// The standard hash of the text.
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>{}(text);
  }
};

/// Map from strings to T that can be searched by string_view.
template <class T>
using string_map = std::unordered_map<std::string, T, string_hash, std::equal_to<>>;

}  // namespace tern::inline TERN_ABI
