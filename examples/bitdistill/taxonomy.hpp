// A forest of words that is read from an indented list. Each word stands for a set of cells, a bit
// mask, so that "is a kind of", "excludes" and "covers" are single machine instructions.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tern/core/error.hpp"

namespace bitdistill {

/// Words in a forest. The set of a child lies inside the set of its parent, and siblings are
/// disjoint. Every word has a cell of its own, which means "this kind, but none of the kinds below
/// it".
class taxonomy {
 public:
  static constexpr std::size_t none = static_cast<std::size_t>(-1);  ///< stands for no word

  /// Reads one word a line; a child is indented one space deeper than its parent. Throws
  /// config_error where the indentation skips a level, or where there is no word or more than 63.
  explicit taxonomy(std::string_view indented) {
    std::vector<std::size_t> path;  // the ancestors of the next line
    while (!indented.empty()) {
      const std::size_t end = std::min(indented.find('\n'), indented.size());
      add(indented.substr(0, end), path);
      indented.remove_prefix(std::min(end + 1, indented.size()));
    }
    if (words_.empty() || words_.size() > 63)
      throw tern::config_error("taxonomy: expected 1 to 63 words, got " + std::to_string(size()));
    for (std::size_t i = size(); i-- > 0;) {
      sets_[i] |= std::uint64_t{1} << i;
      if (parents_[i] != none) sets_[parents_[i]] |= sets_[i];
    }
  }

  /// Number of words.
  [[nodiscard]] std::size_t size() const { return words_.size(); }
  /// The word of number `i`.
  [[nodiscard]] const std::string& word(std::size_t i) const { return words_[i]; }
  /// All words by their numbers.
  [[nodiscard]] const std::vector<std::string>& words() const { return words_; }
  /// The cells of the word of number `i`.
  [[nodiscard]] std::uint64_t set(std::size_t i) const { return sets_[i]; }
  /// All cells. There is one more than there are words, for things that no word names.
  [[nodiscard]] std::uint64_t all() const { return (std::uint64_t{2} << size()) - 1; }
  /// Whether every `a` is a `b`.
  [[nodiscard]] bool within(std::size_t a, std::size_t b) const {
    return (sets_[a] & ~sets_[b]) == 0;
  }

 private:
  void add(std::string_view line, std::vector<std::size_t>& path) {
    const std::size_t depth = line.find_first_not_of(' ');
    if (depth == std::string_view::npos) return;
    if (depth > path.size())
      throw tern::config_error("taxonomy: '" + std::string(line) + "' is indented too deeply");
    path.resize(depth);
    words_.emplace_back(line.substr(depth));
    parents_.push_back(path.empty() ? none : path.back());
    sets_.push_back(0);
    path.push_back(size() - 1);
  }

  std::vector<std::string> words_;
  std::vector<std::size_t> parents_;
  std::vector<std::uint64_t> sets_;
};

}  // namespace bitdistill
