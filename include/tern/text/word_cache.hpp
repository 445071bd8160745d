// A cache of the token ids of recent words. Natural text mostly repeats a few words.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "tern/text/string_map.hpp"

namespace tern::inline TERN_ABI {

/// A map from words to token ids of at most 2 MB. Each word has one place, which is a cache line,
/// and replaces the word that was there before. Long words and words of many tokens are not stored.
/// Each thread needs its own object.
class word_cache {
 public:
  /// The ids of `word`, valid until the next insert(). The result is empty if they are not stored.
  [[nodiscard]] std::span<const std::int32_t> find(std::string_view word) const {
    if (places_.empty()) return {};
    const place& at = places_[index(word)];
    const bool here = std::string_view(at.word.data(), at.length) == word;
    return {at.ids.data(), here ? at.count : std::size_t{0}};
  }

  /// Stores a word of at least one byte and one id.
  void insert(std::string_view word, std::span<const std::int32_t> ids) {
    place fresh;
    if (word.size() > fresh.word.size() || ids.size() > fresh.ids.size()) return;
    fresh.length = static_cast<std::uint8_t>(word.size());
    fresh.count = static_cast<std::uint8_t>(ids.size());
    std::ranges::copy(word, fresh.word.begin());
    std::ranges::copy(ids, fresh.ids.begin());
    if (++inserted_ > places_.size() && places_.size() < most_places) grow();
    places_[index(word)] = fresh;
  }

 private:
  struct alignas(64) place {
    std::uint8_t length = 0, count = 0;
    std::array<char, 38> word{};
    std::array<std::int32_t, 6> ids{};
  };
  static constexpr std::size_t most_places = 1 << 15;

  [[nodiscard]] std::size_t index(std::string_view word) const {
    return string_hash{}(word) & (places_.size() - 1);
  }

  // The cache starts small, since many encoders see only one sentence.
  void grow() {
    std::vector<place> old(places_.empty() ? 64 : places_.size() * 8);
    old.swap(places_);
    inserted_ = 0;
    for (const place& p : old)
      if (p.count > 0) places_[index({p.word.data(), p.length})] = p;
  }

  std::vector<place> places_;  // their number is a power of two
  std::size_t inserted_ = 0;
};

}  // namespace tern::inline TERN_ABI
