// The printable spelling of arbitrary bytes in byte-level BPE files (Radford et al., GPT-2): a byte
// that is a visible Latin-1 character stands for itself, the other 68 bytes are spelled U+0100 and
// up.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "tern/core/utf8.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

constexpr bool is_visible_latin1(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
}

struct byte_level_table {
  std::array<char32_t, 256> character{};   // character of each byte
  std::array<unsigned char, 256> order{};  // the bytes in the order of their characters
};

constexpr byte_level_table make_byte_level_table() {
  byte_level_table table;
  std::size_t count = 0;
  for (const bool visible : {true, false})
    for (unsigned byte = 0; byte < 256; ++byte)
      if (is_visible_latin1(byte) == visible) {
        table.character[byte] = static_cast<char32_t>(visible ? byte : 0x100 + (count - 188));
        table.order[count++] = static_cast<unsigned char>(byte);
      }
  return table;
}

inline constexpr byte_level_table byte_level = make_byte_level_table();

}  // namespace detail

/// All bytes in the order of their byte-level characters. Vocabularies usually begin in this order.
inline constexpr const std::array<unsigned char, 256>& byte_level_order = detail::byte_level.order;

/// Spells bytes as printable characters: `" the"` becomes `"Ġthe"`.
inline std::string to_byte_level(std::string_view bytes) {
  std::string out;
  for (const char byte : bytes)
    append_utf8(out, detail::byte_level.character[static_cast<unsigned char>(byte)]);
  return out;
}

/// The inverse of to_byte_level(). `text` is well-formed UTF-8; the result is empty if a character
/// of it stands for no byte.
inline std::optional<std::string> from_byte_level(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (c < 0x100 ? !detail::is_visible_latin1(c) : c >= 0x100 + 68) return std::nullopt;
    out.push_back(static_cast<char>(c < 0x100 ? c : detail::byte_level.order[188 + (c - 0x100)]));
  }
  return out;
}

}  // namespace tern::inline TERN_ABI
