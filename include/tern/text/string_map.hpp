// A hash map from strings that is searched with string views, without making a string.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// Lets a map of strings be searched by string_view.
struct string_hash {
  using is_transparent = void;  ///< asked for by std::unordered_map
  /// The standard hash.
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>{}(text);
  }
};

/// From strings, searched by string_view.
template <class T>
using string_map = std::unordered_map<std::string, T, string_hash, std::equal_to<>>;

}  // namespace tern::inline TERN_ABI
