// Byte-pair encoding (Sennrich et al. 2016). Adjacent symbols are joined by merge rules until no
// rule applies. The rule of lowest rank comes first, and the leftmost pair for that rule.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// Two adjacent symbols as one key that can be hashed and ordered. The left symbol is in the high
/// half.
inline std::uint64_t bpe_pair(std::int32_t left, std::int32_t right) {
  return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
}

/// Hash of a pair. It spreads ids, which are small and regular, over all bits.
struct bpe_pair_hash {
  /// Hashes a key of bpe_pair().
  std::size_t operator()(std::uint64_t pair) const {
    pair *= 0x9E3779B97F4A7C15u;
    return static_cast<std::size_t>(pair ^ (pair >> 32));
  }
};

/// The merge rules of a tokenizer. They are immutable once they are filled.
class bpe_rules {
 public:
  /// The merge of a pair.
  struct rule {
    std::int32_t rank;    ///< lower ranks are merged first
    std::int32_t result;  ///< id of the merged token
  };

  /// Adds the rule of the next rank. If a pair gets several rules, the last one counts.
  void add(std::int32_t left, std::int32_t right, std::int32_t result) {
    rules_.insert_or_assign(bpe_pair(left, right), rule{next_rank_++, result});
  }

  void reserve(std::size_t count) { rules_.reserve(count); }  ///< makes room for `count` rules

  /// The rule for a pair, or null if there is none.
  [[nodiscard]] const rule* find(std::int32_t left, std::int32_t right) const {
    const auto found = rules_.find(bpe_pair(left, right));
    return found == rules_.end() ? nullptr : &found->second;
  }

 private:
  std::unordered_map<std::uint64_t, rule, bpe_pair_hash> rules_;
  std::int32_t next_rank_ = 0;
};

/// Applies merge rules in O(n log n). An object holds the working memory, so each thread needs its
/// own.
class bpe_merger {
 public:
  /// Merges `symbols` until no rule applies and appends the result to `out`.
  void merge(const bpe_rules& rules, std::span<const std::int32_t> symbols,
             std::vector<std::int32_t>& out) {
    start(rules, symbols);
    while (!heap_.empty()) {
      std::ranges::pop_heap(heap_, std::ranges::greater{}, key);
      const candidate best = heap_.back();
      heap_.pop_back();
      join(rules, best);
    }
    for (std::size_t i = 0; i < nodes_.size(); i = nodes_[i].next) out.push_back(nodes_[i].id);
  }

 private:
  // A node of a doubly linked list. After a merge the node of the right half has id = gone.
  struct node {
    std::int32_t id;
    std::size_t previous, next;
  };
  struct candidate {
    std::size_t left, right;
    std::int32_t left_id, right_id;
    bpe_rules::rule rule;
  };
  static constexpr std::int32_t gone = -1;
  static std::tuple<std::int32_t, std::size_t> key(const candidate& c) {
    return {c.rule.rank, c.left};
  }

  void start(const bpe_rules& rules, std::span<const std::int32_t> symbols) {
    nodes_.clear();
    heap_.clear();
    for (std::size_t i = 0; i < symbols.size(); ++i) nodes_.push_back({symbols[i], i - 1, i + 1});
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) propose(rules, i, i + 1);
  }

  void propose(const bpe_rules& rules, std::size_t left, std::size_t right) {
    const auto* rule = rules.find(nodes_[left].id, nodes_[right].id);
    if (rule == nullptr) return;
    heap_.push_back({left, right, nodes_[left].id, nodes_[right].id, *rule});
    std::ranges::push_heap(heap_, std::ranges::greater{}, key);
  }

  void join(const bpe_rules& rules, const candidate& c) {
    node& left = nodes_[c.left];
    node& right = nodes_[c.right];
    if (left.id != c.left_id || right.id != c.right_id) return;  // a better merge came first
    left.id = c.rule.result;
    left.next = right.next;
    right.id = gone;
    if (left.next < nodes_.size()) {
      nodes_[left.next].previous = c.left;
      propose(rules, c.left, left.next);
    }
    if (left.previous < nodes_.size()) propose(rules, left.previous, c.left);
  }

  std::vector<node> nodes_;
  std::vector<candidate> heap_;
};

}  // namespace tern::inline TERN_ABI
