// Added tokens, such as <|endoftext|>. They are found in the text itself, before it is split.
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
  std::string content;       ///< its spelling in a text: UTF-8, not empty
  std::int32_t id = 0;       ///< may also be an id of the model's vocabulary
  bool special = true;       ///< whether decode() may leave it out
  bool normalized = false;   ///< whether it is looked for after normalization
  bool single_word = false;  ///< whether it must not touch a letter, digit, mark or underscore
  bool lstrip = false;       ///< whether it takes the white space before it
  bool rstrip = false;       ///< whether it takes the white space behind it
  bool operator==(const added_token&) const = default;
};

/// Finds added tokens in a text. The leftmost match wins, and of several there the longest. It is
/// immutable once it is filled.
class added_token_matcher {
 public:
  /// Makes `pattern`, which is not empty, a spelling of the token. If several tokens have the same
  /// pattern, the last one counts.
  void add(const added_token& token, std::string_view pattern) {
    entries_.insert_or_assign(std::string(pattern),
                              entry{token.id, token.single_word, token.lstrip, token.rstrip});
    auto& lengths = lengths_[static_cast<unsigned char>(pattern.front())];
    const auto at = std::ranges::lower_bound(lengths, pattern.size(), std::ranges::greater{});
    if (at == lengths.end() || *at != pattern.size()) lengths.insert(at, pattern.size());
  }

  /// Splits `text`, which is well-formed UTF-8, at the added tokens. In the order of the text it
  /// calls `token(std::int32_t)` for each added token and `plain(std::string_view)` for each text
  /// between them that is not empty.
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

  string_map<entry> entries_;  // keys are the patterns
  // The lengths of the patterns that begin with a byte, in descending order.
  std::array<std::vector<std::size_t>, 256> lengths_;
};

}  // namespace tern::inline TERN_ABI
