// How often each n-gram occurs in a sequence of tokens. ROUGE-N and BLEU compare such counts.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <unordered_map>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// The number of occurrences of each n-gram. The key is the n-gram's tokens joined by spaces.
using ngram_counts = std::unordered_map<std::string, std::size_t>;

/// Counts the n-grams of `n` tokens. No token may contain a space.
inline ngram_counts count_ngrams(std::span<const std::string> tokens, std::size_t n) {
  ngram_counts counts;
  for (std::size_t begin = 0; begin + n <= tokens.size(); ++begin) {
    std::string ngram = tokens[begin];
    for (const std::string& token : tokens.subspan(begin + 1, n - 1)) ngram += ' ' + token;
    ++counts[ngram];
  }
  return counts;
}

}  // namespace tern::inline TERN_ABI
