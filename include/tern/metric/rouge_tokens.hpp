// The words that ROUGE compares, as the Python package rouge-score makes them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tern/metric/porter_stem.hpp"

namespace tern::inline TERN_ABI {

/// Whether words are compared by their stems.
enum class rouge_stemming {
  none,
  porter  ///< words of more than three characters are replaced by porter_stem()
};

/// The sequences of letters a to z and digits in the lower-cased text. Two characters outside ASCII
/// have a lower-case form with an ASCII letter: the Kelvin sign (k) and the capital I with a dot
/// (an i, and a combining dot, which ends the word).
inline std::vector<std::string> rouge_tokens(std::string_view text,
                                             rouge_stemming stemming = rouge_stemming::none) {
  constexpr std::string_view kelvin = "\xE2\x84\xAA", dotted_i = "\xC4\xB0";
  std::vector<std::string> tokens;
  std::string token;
  const auto finish = [&] {
    if (token.empty()) return;
    if (stemming == rouge_stemming::porter && token.size() > 3) token = porter_stem(token);
    tokens.push_back(token);
    token.clear();
  };
  for (; !text.empty(); text.remove_prefix(1)) {
    const char c = text[0];
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      token += c;
    } else if (c >= 'A' && c <= 'Z') {
      token += static_cast<char>(c - 'A' + 'a');
    } else if (text.starts_with(kelvin)) {
      token += 'k';
      text.remove_prefix(kelvin.size() - 1);
    } else {
      if (text.starts_with(dotted_i)) token += 'i';
      finish();
    }
  }
  finish();
  return tokens;
}

}  // namespace tern::inline TERN_ABI
