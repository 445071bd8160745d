// Whether two models can share ids of tokens.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "tern/text/bpe_tokenizer.hpp"

namespace tern::inline TERN_ABI {

/// Compares the vocabularies of two tokenizers, added tokens left aside: models of one family have
/// different ones at the end of the same vocabulary. Returns a clause about the first id with two
/// texts, such as `id 7 is "a" and "b"`, or an empty string where there is none.
inline std::string vocabulary_difference(const bpe_tokenizer& a, const bpe_tokenizer& b) {
  const auto& left = a.definition().tokens;
  const auto& right = b.definition().tokens;
  for (std::size_t i = 0; i < std::min(left.size(), right.size()); ++i)
    if (!left[i].empty() && !right[i].empty() && left[i] != right[i])
      return "id " + std::to_string(i) + " is \"" + left[i] + "\" and \"" + right[i] + "\"";
  const auto ordinary = [](const auto& tokens) {
    return std::ranges::count_if(tokens, [](const auto& t) { return !t.empty(); });
  };
  const auto n = ordinary(left), m = ordinary(right);
  if (n == m) return {};
  return "they have " + std::to_string(n) + " and " + std::to_string(m) + " ordinary tokens";
}

}  // namespace tern::inline TERN_ABI
