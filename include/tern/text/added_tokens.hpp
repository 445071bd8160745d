// Tokens that are found in the text itself, before any splitting: <|endoftext|> and its like.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tern/text/string_map.hpp"
#include "tern/text/unicode_class.hpp"

namespace tern::inline TERN_ABI {

/// One entry of a tokenizer's list of added tokens.
struct added_token {
  std::string content;       ///< as it stands in the text, UTF-8, not empty
  std::int32_t id = 0;       ///< may also be the id of an entry of the model's vocabulary
  bool special = true;       ///< decode may leave it out
  bool normalized = false;   ///< looked for, itself normalized, after normalization, not before
  bool single_word = false;  ///< not where a letter, digit, mark or underscore touches it
  bool lstrip = false;       ///< takes up the white space before it
  bool rstrip = false;       ///< takes up the white space behind it
  bool operator==(const added_token&) const = default;
};

/// Finds the leftmost longest of a set of strings. Immutable once filled.
class added_token_matcher {
 public:
  /// Looks for `pattern`, which is not empty; of several tokens for one pattern the last counts.
  void add(const added_token& token, std::string_view pattern) {
    entries_.insert_or_assign(std::string(pattern),
                              entry{token.id, token.single_word, token.lstrip, token.rstrip});
    auto& lengths = lengths_[static_cast<unsigned char>(pattern.front())];
    const auto at = std::ranges::lower_bound(lengths, pattern.size(), std::ranges::greater{});
    if (at == lengths.end() || *at != pattern.size()) lengths.insert(at, pattern.size());
  }

  /// Cuts `text`, well-formed UTF-8, at the added tokens: calls `plain(std::string_view)` for what
  /// lies between them (never empty) and `token(std::int32_t)` for each of them, in order.
  template <class Plain, class Token>
  void split(std::string_view text, Plain&& plain, Token&& token) const {
    std::size_t done = 0;
    for (std::size_t at = 0; !entries_.empty() && at < text.size();) {
      const auto found = match(text.substr(at));
      if (found == entries_.end()) {
        ++at;
        continue;
      }
      const entry& e = found->second;
      std::size_t begin = at, end = at += found->first.size();
      if (e.single_word && (ends_in_word(text.substr(0, begin)) || begins_word(text.substr(end))))
        continue;
      if (e.lstrip) begin = std::max(done, begin - white_space_at_end(text.substr(0, begin)));
      if (e.rstrip) end += white_space_at_begin(text.substr(end));
      if (begin > done) plain(text.substr(done, begin - done));
      token(e.id);
      done = end;
    }
    if (done < text.size()) plain(text.substr(done));
  }

 private:
  struct entry {
    std::int32_t id;
    bool single_word, lstrip, rstrip;
  };

  [[nodiscard]] string_map<entry>::const_iterator match(std::string_view text) const {
    for (const std::size_t length : lengths_[static_cast<unsigned char>(text.front())])
      if (length <= text.size())
        if (const auto found = entries_.find(text.substr(0, length)); found != entries_.end())
          return found;
    return entries_.end();
  }

  string_map<entry> entries_;                          // by pattern
  std::array<std::vector<std::size_t>, 256> lengths_;  // by first byte, descending
};

}  // namespace tern::inline TERN_ABI
