// The token ids of words met before: natural text repeats few of them most of the time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/text/string_map.hpp"

namespace tern::inline TERN_ABI {

/// A bounded map from words to token ids; when full it is emptied and starts anew. Holds at most
/// `max_words` words of at most `max_length` bytes. One object serves one thread.
class word_cache {
 public:
  static constexpr std::size_t max_words = 1 << 16, max_length = 64;

  /// The ids of `word`, valid until the next insert; nothing if they are not known.
  [[nodiscard]] std::optional<std::span<const std::int32_t>> find(std::string_view word) const {
    const auto found = slices_.find(word);
    if (found == slices_.end()) return std::nullopt;
    return std::span(ids_).subspan(found->second.begin, found->second.count);
  }

  /// Remembers a word that find() does not know; too long ones are passed over.
  void insert(std::string_view word, std::span<const std::int32_t> ids) {
    if (word.size() > max_length) return;
    if (slices_.size() == max_words) {
      slices_.clear();
      ids_.clear();
    }
    slices_.emplace(word, slice{ids_.size(), ids.size()});
    ids_.insert(ids_.end(), ids.begin(), ids.end());
  }

 private:
  struct slice {
    std::size_t begin, count;
  };
  string_map<slice> slices_;
  std::vector<std::int32_t> ids_;
};

}  // namespace tern::inline TERN_ABI
