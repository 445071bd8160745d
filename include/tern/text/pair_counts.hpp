// The counts of BPE training: how often each pair of adjacent symbols occurs in a set of counted
// words. Every merge updates them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tern/text/bpe.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

struct counted_word {
  std::vector<std::int32_t> symbols;
  std::uint64_t count;
};

/// The number of occurrences of each pair, and the words that it occurs in.
class pair_counts {
 public:
  /// A pair and its count. The pair with the greater count is merged first, and of equal ones that
  /// with the smaller ids.
  struct entry {
    std::uint64_t count, pair;
    bool operator<(const entry& o) const {
      return count != o.count ? count < o.count : pair > o.pair;
    }
  };

  explicit pair_counts(std::vector<counted_word> words) : words_(std::move(words)) {
    for (std::size_t w = 0; w < words_.size(); ++w) {
      const auto& symbols = words_[w].symbols;
      for (std::size_t i = 0; i + 1 < symbols.size(); ++i) increase(symbols[i], symbols[i + 1], w);
    }
    push_risen();
  }

  /// Removes and returns the most frequent pair. Its count is 0 if no pair is left.
  entry pop() {
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end());
      const entry top = heap_.back();
      heap_.pop_back();
      const auto at = pairs_.find(top.pair);
      const std::uint64_t count = at == pairs_.end() ? 0 : at->second.count;
      if (count == top.count && count > 0) return top;
      if (count > 0 && count < top.count) push({count, top.pair});  // the count has fallen since
    }
    return {0, 0};
  }

  /// Replaces the pair by `result` in all words.
  void merge(std::uint64_t pair, std::int32_t result) {
    const auto words = std::move(pairs_[pair].words);
    for (const std::size_t w : words) merge_in_word(pair, result, w);
    pairs_.erase(pair);
    push_risen();
  }

 private:
  struct occurrences {
    std::uint64_t count = 0;
    std::vector<std::size_t> words;  // words in which it occurs or once did
  };

  void increase(std::int32_t left, std::int32_t right, std::size_t word) {
    const std::uint64_t pair = bpe_pair(left, right);
    auto& at = pairs_[pair];
    at.count += words_[word].count;
    if (at.words.empty() || at.words.back() != word) at.words.push_back(word);
    risen_.push_back(pair);
  }

  void decrease(std::int32_t left, std::int32_t right, std::size_t word) {
    pairs_[bpe_pair(left, right)].count -= words_[word].count;
  }

  void merge_in_word(std::uint64_t pair, std::int32_t result, std::size_t w) {
    auto& symbols = words_[w].symbols;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      const bool found = i + 1 < symbols.size() && bpe_pair(symbols[i], symbols[i + 1]) == pair;
      if (!found) {
        symbols[kept++] = symbols[i];
        continue;
      }
      const std::int32_t left = symbols[i], right = symbols[++i];
      if (kept > 0) {
        decrease(symbols[kept - 1], left, w);
        increase(symbols[kept - 1], result, w);
      }
      if (i + 1 < symbols.size()) {
        decrease(right, symbols[i + 1], w);
        increase(result, symbols[i + 1], w);
      }
      symbols[kept++] = result;
    }
    symbols.resize(kept);
  }

  void push(const entry& e) {
    heap_.push_back(e);
    std::push_heap(heap_.begin(), heap_.end());
  }

  void push_risen() {
    std::ranges::sort(risen_);
    risen_.erase(std::unique(risen_.begin(), risen_.end()), risen_.end());
    for (const std::uint64_t pair : risen_) push({pairs_[pair].count, pair});
    risen_.clear();
  }

  std::vector<counted_word> words_;
  std::unordered_map<std::uint64_t, occurrences, bpe_pair_hash> pairs_;
  std::vector<entry> heap_;           // may hold old counts, but each pair's present count is in it
  std::vector<std::uint64_t> risen_;  // pairs whose count rose since the last push
};

}  // namespace detail

}  // namespace tern::inline TERN_ABI
