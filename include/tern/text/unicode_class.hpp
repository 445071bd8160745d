// White space and word characters at the ends of a text, by Unicode's properties (UTS #18, annex
// C). All functions on texts need well-formed UTF-8.
#pragma once

#include <utf8proc.h>

#include <cstddef>
#include <string_view>

#include "tern/core/utf8.hpp"

namespace tern::inline TERN_ABI {

/// Whether the character has the property White_Space.
constexpr bool is_white_space(char32_t c) {
  return c == ' ' || (c >= 0x09 && c <= 0x0D) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

/// Whether `\w` matches the character: letters, marks, decimal digits, connectors and joiners.
inline bool is_word_character(char32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:  // the joiners, and circled and squared letters, which are symbols
      return c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) ||
             (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
             (c >= 0x1F170 && c <= 0x1F189);
  }
}

namespace detail {

/// The last character of a text that is not empty.
inline std::string_view last_character(std::string_view text) {
  std::size_t at = text.size() - 1;
  while ((static_cast<unsigned char>(text[at]) & 0xC0u) == 0x80u) --at;
  return text.substr(at);
}

inline char32_t code_point(std::string_view text) {
  std::size_t at = 0;
  return next_code_point(text, at);
}

}  // namespace detail

/// Whether the text begins with a word character.
inline bool begins_word(std::string_view text) {
  return !text.empty() && is_word_character(detail::code_point(text));
}
/// Whether the text ends with a word character.
inline bool ends_in_word(std::string_view text) {
  return !text.empty() && is_word_character(detail::code_point(detail::last_character(text)));
}

/// Number of bytes of white space at the beginning of the text.
inline std::size_t white_space_at_begin(std::string_view text) {
  std::size_t end = 0;
  for (std::size_t at = 0; at < text.size() && is_white_space(next_code_point(text, at));) end = at;
  return end;
}

/// Number of bytes of white space at the end of the text.
inline std::size_t white_space_at_end(std::string_view text) {
  std::size_t count = 0;
  while (count < text.size()) {
    const auto last = detail::last_character(text.substr(0, text.size() - count));
    if (!is_white_space(detail::code_point(last))) break;
    count += last.size();
  }
  return count;
}

}  // namespace tern::inline TERN_ABI
