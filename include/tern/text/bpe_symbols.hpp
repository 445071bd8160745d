// The tokens that merging starts from: one for each byte, or one for each character. A character
// that the vocabulary lacks falls back to its bytes or becomes the unknown token.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tern/core/utf8.hpp"

namespace tern::inline TERN_ABI {

/// The spelling of a byte in vocabularies of characters, such as `<0x0A>`.
inline std::string fallback_spelling(unsigned char byte) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  return {'<', '0', 'x', digits[byte / 16u], digits[byte % 16u], '>'};
}

/// The byte that the token spells, if it has this form.
inline std::optional<char> fallback_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  const auto digit = [&](std::size_t at) -> unsigned {
    const char c = token[at];
    return c >= '0' && c <= '9'   ? static_cast<unsigned>(c - '0')
           : c >= 'A' && c <= 'F' ? static_cast<unsigned>(c - 'A') + 10
           : c >= 'a' && c <= 'f' ? static_cast<unsigned>(c - 'a') + 10
                                  : 16u;
  };
  if (digit(3) > 15 || digit(4) > 15) return std::nullopt;
  return static_cast<char>(digit(3) * 16 + digit(4));
}

/// Rules for characters that the vocabulary lacks.
struct unknown_rules {
  bool byte_fallback = false;  ///< whether its bytes are used, if the vocabulary has all of them
  std::optional<std::int32_t> token = {};  ///< the unknown token, which is used otherwise
  bool fuse = false;  ///< whether adjacent such characters give one unknown token
  bool operator==(const unknown_rules&) const = default;
};

/// The tokens of single characters or bytes. An object is immutable.
class bpe_symbols {
 public:
  /// tokens: the spelling of each id in the vocabulary; byte_level: whether a token is a sequence
  /// of bytes.
  bpe_symbols(const std::vector<std::string>& tokens, bool byte_level, unknown_rules unknown)
      : byte_level_(byte_level), unknown_(unknown) {
    low_.fill(none);
    bytes_.fill(none);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const std::string& token = tokens[i];
      const auto id = static_cast<std::int32_t>(i);
      std::size_t at = 0;
      if (!token.empty())
        if (const char32_t unit = next(token, at); at == token.size()) set(unit, id);
      if (const auto byte = fallback_byte(token); byte && unknown.byte_fallback)
        bytes_[static_cast<unsigned char>(*byte)] = id;
    }
  }

  /// Appends the tokens of well-formed UTF-8. A character (or byte) without a token is left out, as
  /// Hugging Face does. This happens: SmolLM2's vocabulary lacks some control characters.
  void append(std::string_view text, std::vector<std::int32_t>& ids) const {
    bool pending = false;  // whether an unknown token waits for more characters
    const auto flush = [&] {
      if (pending) ids.push_back(*unknown_.token);
      pending = false;
    };
    for (std::size_t begin = 0, end = 0; begin < text.size(); begin = end) {
      const char32_t unit = next(text, end);
      if (const std::int32_t id = find(unit); id != none) {
        flush();
        ids.push_back(id);
      } else if (!append_bytes(text.substr(begin, end - begin), ids)) {
        if (!unknown_.token) continue;
        if (!unknown_.fuse) flush();
        pending = true;
      }
    }
    flush();
  }

 private:
  static constexpr std::int32_t none = -1;

  char32_t next(std::string_view text, std::size_t& at) const {
    return byte_level_ ? static_cast<unsigned char>(text[at++]) : next_code_point(text, at);
  }

  void set(char32_t unit, std::int32_t id) {
    if (unit < low_.size())
      low_[unit] = id;
    else
      high_.emplace(unit, id);
  }

  [[nodiscard]] std::int32_t find(char32_t unit) const {
    if (unit < low_.size()) return low_[unit];
    const auto found = high_.find(unit);
    return found == high_.end() ? none : found->second;
  }

  bool append_bytes(std::string_view character, std::vector<std::int32_t>& ids) const {
    for (const char byte : character)
      if (bytes_[static_cast<unsigned char>(byte)] == none) return false;
    for (const char byte : character) ids.push_back(bytes_[static_cast<unsigned char>(byte)]);
    return true;
  }

  bool byte_level_;
  unknown_rules unknown_;
  std::array<std::int32_t, 256> low_{}, bytes_{};
  std::unordered_map<char32_t, std::int32_t> high_;
};

}  // namespace tern::inline TERN_ABI
