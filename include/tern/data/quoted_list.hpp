// Text of a file in messages: quoted, listed, and cut to a readable length.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "tern/core/utf8.hpp"

namespace tern::inline TERN_ABI::detail {

/// The items as "'a', 'b' or 'c'".
inline std::string quoted_list(const std::vector<std::string>& items,
                               std::string_view last = "or") {
  std::string text;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) text += i + 1 < items.size() ? ", " : " " + std::string(last) + " ";
    text += "'" + items[i] + "'";
  }
  return text;
}

/// The text, or its beginning where it is too long for a message.
inline std::string excerpt(std::string_view text) {
  constexpr std::size_t longest = 300;
  if (text.size() <= longest) return std::string(text);
  text = text.substr(0, longest);
  return std::string(text.substr(0, find_invalid_utf8(text))) +
         "...";  // does not end inside a character
}

}  // namespace tern::inline TERN_ABI::detail
