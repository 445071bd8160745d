// Places where a text can be cut although its tokenizer has no pre-tokenizer. In vocabularies made
// from words, a visible space (U+2581) begins a token or follows another visible space, so merges
// hardly ever join it with the character before it. The pieces are short, and most of them are
// known words.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "tern/text/pretokenizer.hpp"

namespace tern::inline TERN_ABI {

/// The cuts that are safe for a vocabulary: merging piece by piece gives the same tokens as merging
/// the whole text.
class space_cuts {
 public:
  /// tokens: the tokens as the vocabulary spells them.
  explicit space_cuts(const std::vector<std::string>& tokens) {
    for (const std::string& token : tokens) {
      if (token == metaspace) has_space_ = true;
      for (std::size_t at = 1; (at = token.find(metaspace, at)) != token.npos; ++at)
        joined_[static_cast<unsigned char>(token[at - 1])] = true;
    }
  }

  /// Calls `piece(std::string_view)` for the pieces of `text` in order.
  template <class F>
  void split(std::string_view text, F&& piece) const {
    std::size_t done = 0;
    for (std::size_t at = 1; has_space_ && (at = text.find(metaspace, at)) != text.npos; ++at) {
      if (joined_[static_cast<unsigned char>(text[at - 1])]) continue;
      piece(text.substr(done, at - done));
      done = at;
    }
    piece(text.substr(done));
  }

 private:
  bool has_space_ = false;          // without it, a visible space may join other unknown characters
  std::array<bool, 256> joined_{};  // bytes that stand before a space inside a token
};

}  // namespace tern::inline TERN_ABI
