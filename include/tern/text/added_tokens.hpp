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

namespace tern::inline TERN_ABI {

/// One entry of a tokenizer's list of added tokens.
struct added_token {
  std::string content;      ///< as it stands in the text, UTF-8, not empty
  std::int32_t id = 0;      ///< may also be the id of an entry of the model's vocabulary
  bool special = true;      ///< decode may leave it out
  bool normalized = false;  ///< looked for after normalization instead of before
  bool operator==(const added_token&) const = default;
};

/// Finds the leftmost longest of a set of strings. Immutable once filled.
class added_token_matcher {
 public:
  void add(const added_token& token) {
    ids_.insert_or_assign(token.content, token.id);
    auto& lengths = lengths_[static_cast<unsigned char>(token.content.front())];
    const auto at = std::ranges::lower_bound(lengths, token.content.size(), std::ranges::greater{});
    if (at == lengths.end() || *at != token.content.size())
      lengths.insert(at, token.content.size());
  }

  /// Cuts `text` at the added tokens: calls `plain(std::string_view)` for what lies between them
  /// (never empty) and `token(std::int32_t)` for each of them, in order.
  template <class Plain, class Token>
  void split(std::string_view text, Plain&& plain, Token&& token) const {
    std::size_t done = 0;
    for (std::size_t at = 0; !ids_.empty() && at < text.size();) {
      const auto found = match(text.substr(at));
      if (found == ids_.end()) {
        ++at;
        continue;
      }
      if (at > done) plain(text.substr(done, at - done));
      token(found->second);
      done = at += found->first.size();
    }
    if (done < text.size()) plain(text.substr(done));
  }

 private:
  [[nodiscard]] string_map<std::int32_t>::const_iterator match(std::string_view text) const {
    for (const std::size_t length : lengths_[static_cast<unsigned char>(text.front())])
      if (length <= text.size())
        if (const auto found = ids_.find(text.substr(0, length)); found != ids_.end()) return found;
    return ids_.end();
  }

  string_map<std::int32_t> ids_;
  std::array<std::vector<std::size_t>, 256> lengths_;  // by first byte, descending
};

}  // namespace tern::inline TERN_ABI
