// The tokenization "13a" of WMT's mteval-v13a, as the Python package sacrebleu does it before BLEU.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// Length in bytes of the white space character at the beginning of a UTF-8 text, or 0 where it
/// begins with something else. White space is what Python's str.split() removes.
inline std::size_t white_space_length(std::string_view text) {
  if (text.empty()) return 0;
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return lead == ' ' || (lead >= 9 && lead <= 13) || (lead >= 28 && lead <= 31);
  // U+0085, U+00A0, U+1680, U+2028, U+2029, U+202F, U+205F, U+3000; then U+2000 to U+200A.
  static constexpr std::array<std::string_view, 8> others{
      "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\xA8",
      "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80"};
  for (const std::string_view other : others)
    if (text.starts_with(other)) return other.size();
  if (!text.starts_with("\xE2\x80") || text.size() < 3) return 0;
  const auto last = static_cast<unsigned char>(text[2]);
  return last >= 0x80 && last <= 0x8A ? 3 : 0;
}

inline std::vector<std::string> split_white_space(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  while (!text.empty()) {
    const std::size_t space = white_space_length(text);
    if (space == 0) {
      word += text[0];
    } else if (!word.empty()) {
      words.push_back(std::exchange(word, {}));
    }
    text.remove_prefix(space == 0 ? 1 : space);
  }
  if (!word.empty()) words.push_back(word);
  return words;
}

inline std::string_view without_trailing_space(std::string_view text) {
  std::size_t end = 0;  // index after the last character that is not white space
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t space = white_space_length(text.substr(at));
    at += space == 0 ? 1 : space;
    if (space == 0) end = at;
  }
  return text.substr(0, end);
}

inline void replace_each(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != text.npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

/// Whether 13a makes a token of this character wherever it stands: ASCII punctuation and symbols
/// except the apostrophe, comma, hyphen and full stop.
inline bool is_separate_13a(char c) {
  return (c > ' ' && c <= '&') || (c >= '(' && c <= '+') || c == '/' || (c >= ':' && c <= '@') ||
         (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

/// Replaces each pair of neighbours for which fits(first, second) holds by insert(first, second),
/// from the left; a character belongs to one pair at most. Works on bytes: the characters that are
/// looked for are ASCII, and bytes of others only stand for "any other".
template <class Fits, class Insert>
std::string replace_pairs(std::string_view text, Fits&& fits, Insert&& insert) {
  std::string out;
  std::size_t at = 0;
  while (at < text.size()) {
    if (at + 1 < text.size() && fits(text[at], text[at + 1])) {
      out += insert(text[at], text[at + 1]);
      at += 2;
    } else {
      out += text[at++];
    }
  }
  return out;
}

}  // namespace detail

/// The tokens of a text, which may be malformed UTF-8. Case stays as it is.
inline std::vector<std::string> tokenize_13a(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto point = [](char c) { return c == '.' || c == ','; };
  std::string line(detail::without_trailing_space(text));
  detail::replace_each(line, "<skipped>", "");
  detail::replace_each(line, "-\n", "");
  detail::replace_each(line, "\n", " ");
  detail::replace_each(line, "&quot;", "\"");
  detail::replace_each(line, "&amp;", "&");
  detail::replace_each(line, "&lt;", "<");
  detail::replace_each(line, "&gt;", ">");
  std::string spaced = " ";
  for (const char c : line) {
    if (detail::is_separate_13a(c))
      spaced.append({' ', c, ' '});
    else
      spaced += c;
  }
  spaced += ' ';
  // Splits a full stop or comma after a character that is no digit, then one before such a
  // character.
  spaced = detail::replace_pairs(
      spaced, [&](char first, char second) { return !digit(first) && point(second); },
      [](char first, char second) {
        return std::string{first, ' ', second, ' '};
      });
  spaced = detail::replace_pairs(
      spaced, [&](char first, char second) { return point(first) && !digit(second); },
      [](char first, char second) {
        return std::string{' ', first, ' ', second};
      });
  // Splits a hyphen after a digit.
  spaced = detail::replace_pairs(
      spaced, [&](char first, char second) { return digit(first) && second == '-'; },
      [](char first, char second) {
        return std::string{first, ' ', second, ' '};
      });
  return detail::split_white_space(spaced);
}

}  // namespace tern::inline TERN_ABI
