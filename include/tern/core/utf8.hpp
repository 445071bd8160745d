// UTF-8 (RFC 3629): validation, reading and writing of single code points.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "tern/core/error.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// Length of the well-formed UTF-8 sequence at `at` (1 to 4 bytes), or 0 if it is malformed.
inline std::size_t utf8_sequence_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u;
  };
  const auto continues = [&](std::size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  const unsigned lead = byte(0), second = byte(1);
  if (lead < 0x80) return 1;
  if (lead < 0xC2) return 0;
  if (lead < 0xE0) return continues(1) ? 2 : 0;
  if (lead < 0xF0) {
    const bool overlong = lead == 0xE0 && second < 0xA0;
    const bool surrogate = lead == 0xED && second >= 0xA0;
    return continues(1) && continues(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (lead > 0xF4) return 0;
  const bool overlong = lead == 0xF0 && second < 0x90;
  const bool beyond = lead == 0xF4 && second >= 0x90;
  return continues(1) && continues(2) && continues(3) && !overlong && !beyond ? 4 : 0;
}

}  // namespace detail

/// Offset of the first byte that is not part of well-formed UTF-8, or `text.size()` if there is
/// none. Overlong forms, surrogates and values above U+10FFFF are malformed.
inline std::size_t find_invalid_utf8(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    std::uint64_t eight = 0;
    if (at + 8 <= text.size()) {
      std::memcpy(&eight, text.data() + at, 8);
      if ((eight & 0x8080808080808080u) == 0) {
        at += 8;
        continue;
      }
    }
    const std::size_t length = detail::utf8_sequence_length(text, at);
    if (length == 0) return at;
    at += length;
  }
  return at;
}

/// Throws format_error naming the byte offset unless `text` is well-formed UTF-8.
inline void require_utf8(std::string_view text) {
  const std::size_t at = find_invalid_utf8(text);
  if (at != text.size())
    throw format_error("invalid UTF-8 at byte " + std::to_string(at) + " of the text");
}

/// Appends the UTF-8 form of a code point (not a surrogate, at most U+10FFFF).
inline void append_utf8(std::string& out, char32_t code_point) {
  const auto put = [&](char32_t bits) { out.push_back(static_cast<char>(bits)); };
  const auto put_tail = [&](unsigned shift) { put(0x80u | ((code_point >> shift) & 0x3Fu)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0u | (code_point >> 6));
    put_tail(0);
  } else if (code_point < 0x10000) {
    put(0xE0u | (code_point >> 12));
    put_tail(6);
    put_tail(0);
  } else {
    put(0xF0u | (code_point >> 18));
    put_tail(12);
    put_tail(6);
    put_tail(0);
  }
}

/// Reads the code point at `at` of well-formed UTF-8 and moves `at` behind it.
inline char32_t next_code_point(std::string_view text, std::size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at++]);
  if (lead < 0x80) return lead;
  const auto tail = static_cast<std::size_t>(std::countl_one(lead)) - 1;
  char32_t value = lead & (0x3Fu >> tail);
  for (std::size_t i = 0; i < tail; ++i)
    value = (value << 6) | (static_cast<unsigned char>(text[at++]) & 0x3Fu);
  return value;
}

}  // namespace tern::inline TERN_ABI
