// The methods of strings in Jinja templates. They do what Python's methods of the same names do.
// One that is not supported is refused by name.
#pragma once

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "tern/core/utf8.hpp"
#include "tern/text/jinja_arguments.hpp"
#include "tern/text/jinja_value.hpp"
#include "tern/text/unicode_class.hpp"

namespace tern::inline TERN_ABI::detail {

enum class letter_case { upper, lower, capital, title };

/// Refuses a character of which Python's upper() or lower() makes several, or another one at the
/// end of a word.
inline void jinja_require_simple_case(char32_t c, std::size_t line) {
  constexpr std::array<std::pair<char32_t, char32_t>, 13> special{{{0xDF, 0xDF},
                                                                   {0x130, 0x130},
                                                                   {0x149, 0x149},
                                                                   {0x1F0, 0x1F0},
                                                                   {0x390, 0x390},
                                                                   {0x3A3, 0x3A3},
                                                                   {0x3B0, 0x3B0},
                                                                   {0x587, 0x587},
                                                                   {0x1E96, 0x1E9A},
                                                                   {0x1F50, 0x1FFC},
                                                                   {0xFB00, 0xFB06},
                                                                   {0xFB13, 0xFB17},
                                                                   {0x1E9E, 0x1E9E}}};
  for (const auto& [first, last] : special)
    if (c >= first && c <= last)
      jinja_fail(line, "upper or lower case of characters such as U+00DF is not supported");
}

/// Python's upper, lower, capitalize and title; with `separators`, words of a title begin only
/// behind these characters and white space.
inline std::string jinja_cased(std::string_view text, letter_case wanted, std::size_t line,
                               std::string_view separators = "") {
  std::string out;
  bool first = true;  // whether a word begins here
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    jinja_require_simple_case(c, line);
    const auto code = static_cast<utf8proc_int32_t>(c);
    const bool filter = !separators.empty();
    const auto begun =
        wanted == letter_case::upper || filter ? utf8proc_toupper(code) : utf8proc_totitle(code);
    const bool upper = wanted == letter_case::upper || (wanted != letter_case::lower && first);
    append_utf8(out, static_cast<char32_t>(upper ? begun : utf8proc_tolower(code)));
    first = wanted == letter_case::title &&
            (separators.empty()
                 ? utf8proc_toupper(code) == utf8proc_tolower(code)
                 : is_white_space(c) ||
                       (c < 0x80 && separators.find(static_cast<char>(c)) != separators.npos));
  }
  return out;
}

/// Python's strip, lstrip and rstrip. Without `which` white space is removed.
inline std::string jinja_stripped(std::string_view text, bool front, bool back,
                                  const std::string* which) {
  if (which == nullptr) {
    if (front) text.remove_prefix(white_space_at_begin(text));
    if (back) text.remove_suffix(white_space_at_end(text));
    return std::string(text);
  }
  auto all = jinja_characters(text);
  const auto known = jinja_characters(*which);
  const auto removed = [&](std::string_view c) { return std::ranges::count(known, c) != 0; };
  std::size_t begin = 0, end = all.size();
  while (front && begin < end && removed(all[begin])) ++begin;
  while (back && begin < end && removed(all[end - 1])) --end;
  std::string out;
  for (std::size_t i = begin; i < end; ++i) out += all[i];
  return out;
}

/// Python's split. With a negative `most` the text is cut at each separator.
inline jinja_value jinja_split(const std::string& text, const jinja_value* by, std::int64_t most) {
  jinja_value parts = jinja_value::array();
  std::size_t at = 0;
  if (by == nullptr || by->is_null()) {
    while (true) {
      at += white_space_at_begin(std::string_view(text).substr(at));
      if (at == text.size()) return parts;
      const std::size_t begin = at;
      for (std::size_t next = at; at < text.size(); at = next)
        if (is_white_space(next_code_point(text, next)) && most != 0) break;
      parts.push_back(text.substr(begin, at - begin));
      --most;
    }
  }
  const std::string& sign = by->get_ref<const std::string&>();
  for (std::size_t end; most-- != 0 && (end = text.find(sign, at)) != text.npos;
       at = end + sign.size())
    parts.push_back(text.substr(at, end - at));
  parts.push_back(text.substr(at));
  return parts;
}

inline std::string jinja_replaced(const std::string& text, const std::string& from,
                                  const std::string& to) {
  std::string out;
  std::size_t done = 0;
  for (std::size_t at; (at = text.find(from, done)) != text.npos; done = at + from.size())
    out.append(text, done, at - done).append(to);
  return out.append(text, done);
}

/// The method of a string.
inline jinja_value jinja_string_method(const std::string& text, const std::string& name,
                                       const jinja_arguments& a) {
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    a.most(1);
    return jinja_stripped(text, name != "rstrip", name != "lstrip",
                          a.size() > 0 ? &a.text(0) : nullptr);
  }
  if (name == "split") {
    a.most(2);
    if (a.size() > 0 && !a.at(0)->is_null() && a.text(0).empty()) a.fail("needs a separator");
    return jinja_split(text, a.at(0), a.size() > 1 ? a.integer(1) : -1);
  }
  if (name == "startswith" || name == "endswith") {
    a.most(1);
    return name == "startswith" ? text.starts_with(a.text(0)) : text.ends_with(a.text(0));
  }
  if (name == "replace") {
    a.most(2);
    if (a.text(0).empty()) a.fail("needs a string that is not empty");
    return jinja_replaced(text, a.text(0), a.text(1));
  }
  if (name == "find") {
    a.most(1);
    const std::size_t at = text.find(a.text(0));
    return at == text.npos ? -1
                           : static_cast<std::int64_t>(
                                 jinja_characters(std::string_view(text).substr(0, at)).size());
  }
  a.most(0);
  if (name == "upper") return jinja_cased(text, letter_case::upper, a.line());
  if (name == "lower") return jinja_cased(text, letter_case::lower, a.line());
  if (name == "title") return jinja_cased(text, letter_case::title, a.line());
  if (name == "capitalize") return jinja_cased(text, letter_case::capital, a.line());
  a.refuse();
}

}  // namespace tern::inline TERN_ABI::detail
