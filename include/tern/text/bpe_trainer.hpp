// Learns a byte-level BPE vocabulary (Sennrich et al. 2016): again and again the most frequent pair
// of adjacent tokens becomes a token. Words are counted once, and the counts of pairs are updated
// after every merge.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/utf8.hpp"
#include "tern/text/added_tokens.hpp"
#include "tern/text/bpe.hpp"
#include "tern/text/bpe_model.hpp"
#include "tern/text/byte_level.hpp"
#include "tern/text/nfc.hpp"
#include "tern/text/pair_counts.hpp"
#include "tern/text/pretokenizer.hpp"
#include "tern/text/string_map.hpp"

namespace tern::inline TERN_ABI {

/// Options that the vocabulary depends on, besides the texts.
struct bpe_train_options {
  std::size_t vocab_size = 8192;                 ///< most tokens, special ones and bytes included
  std::vector<std::string> special_tokens = {};  ///< have the ids 0, 1, ...; not learned from
  std::string pattern{qwen2_pattern};            ///< pattern of the pre-tokenizer; empty: no split
  bool nfc = true;                               ///< whether texts are normalized to NFC first
  std::uint64_t min_count = 2;                   ///< least count in the corpus for a merge
  /// Whether all 256 bytes are tokens. If not, bytes that the corpus lacks cannot be encoded.
  bool all_bytes = true;
};

/// Counts the words of any number of texts, then learns a vocabulary from them. The result depends
/// on the texts and options only, not on the order of the texts.
class bpe_trainer {
 public:
  /// Throws config_error if the vocabulary is too small for its bytes and special tokens, if a
  /// special token is empty or occurs twice, or if the pattern is not valid.
  explicit bpe_trainer(bpe_train_options options)
      : options_(std::move(options)), split_(steps(options_.pattern)) {
    const std::size_t least = options_.special_tokens.size() + (options_.all_bytes ? 256 : 1);
    if (options_.vocab_size < least || options_.vocab_size > max_vocab_size)
      throw config_error("vocab_size " + std::to_string(options_.vocab_size) + " is not in " +
                         std::to_string(least) + ".." + std::to_string(max_vocab_size));
    for (const std::string& token : options_.special_tokens) {
      if (token.empty() || std::ranges::count(options_.special_tokens, token) > 1)
        throw config_error("special token \"" + token + "\" is empty or occurs twice");
      added_.push_back({token, static_cast<std::int32_t>(added_.size())});
      matcher_.add(added_.back(), token);
    }
  }

  /// Counts the words of one text. Throws format_error naming the byte offset if it is not UTF-8.
  void add(std::string_view text) {
    require_utf8(text);
    matcher_.split(
        text,
        [&](std::string_view part) {
          const std::string_view normal = options_.nfc ? nfc(part, normal_) : part;
          split_.split(normal, true, [&](std::string_view word) { count(word); });
        },
        [](std::int32_t) {});
  }

  /// Returns the vocabulary: special tokens, bytes, then the learned tokens in the order of
  /// learning. It is smaller than `vocab_size` if the corpus has too few frequent pairs. Throws
  /// config_error if `all_bytes` is off and the bytes of the corpus and the special tokens exceed
  /// `vocab_size`.
  [[nodiscard]] bpe_definition finish() const {
    bpe_definition made;
    made.added = added_;
    if (!options_.nfc) made.normalizer.clear();
    made.pretokenizer = steps(options_.pattern);
    made.tokens.resize(added_.size());
    add_bytes(made);
    add_merges(made);
    return made;
  }

 private:
  static constexpr std::size_t max_vocab_size = std::numeric_limits<std::int32_t>::max();

  static std::vector<pretokenizer_step> steps(const std::string& pattern) {
    if (pattern.empty()) return {byte_level_step{}};
    return {split_step{pattern}, byte_level_step{}};
  }

  void count(std::string_view word) {
    const auto found = counts_.find(word);
    ++(found != counts_.end() ? found->second : counts_.emplace(word, 0).first->second);
  }

  void add_bytes(bpe_definition& made) const {
    std::array<bool, 256> seen{};
    for (const auto& [word, times] : counts_)
      for (const char byte : word) seen[static_cast<unsigned char>(byte)] = true;
    for (const unsigned char byte : byte_level_order)
      if (options_.all_bytes || seen[byte]) made.tokens.emplace_back(1, static_cast<char>(byte));
    if (made.tokens.size() > options_.vocab_size)
      throw config_error("vocab_size " + std::to_string(options_.vocab_size) +
                         " is below the corpus's number of bytes and special tokens, " +
                         std::to_string(made.tokens.size()));
  }

  void add_merges(bpe_definition& made) const {
    string_map<std::int32_t> ids;
    for (std::size_t id = 0; id < made.tokens.size(); ++id)
      if (!made.tokens[id].empty()) ids.emplace(made.tokens[id], static_cast<std::int32_t>(id));
    detail::pair_counts pairs(spell(ids));
    bpe_rules known;
    while (made.tokens.size() < options_.vocab_size) {
      const auto best = pairs.pop();
      if (best.count == 0 || best.count < options_.min_count) break;
      const auto left = static_cast<std::int32_t>(best.pair >> 32);
      const auto right = static_cast<std::int32_t>(best.pair & 0xFFFFFFFFu);
      std::string joined = made.tokens[static_cast<std::size_t>(left)];
      joined += made.tokens[static_cast<std::size_t>(right)];
      // Two pairs may give the same token: "ab" + "c" and "a" + "bc".
      const auto [at, fresh] = ids.emplace(joined, static_cast<std::int32_t>(made.tokens.size()));
      if (fresh) made.tokens.push_back(std::move(joined));
      if (known.find(left, right) == nullptr) {
        known.add(left, right, at->second);
        made.merges.emplace_back(left, right);
      }
      pairs.merge(best.pair, at->second);
    }
  }

  [[nodiscard]] std::vector<detail::counted_word> spell(const string_map<std::int32_t>& ids) const {
    std::vector<detail::counted_word> words;
    words.reserve(counts_.size());
    for (const auto& [word, times] : counts_) {
      words.push_back({{}, times});
      for (const char& byte : word)
        words.back().symbols.push_back(ids.find(std::string_view(&byte, 1))->second);
    }
    return words;
  }

  bpe_train_options options_;
  pretokenizer split_;
  std::vector<added_token> added_;
  added_token_matcher matcher_;
  string_map<std::uint64_t> counts_;
  std::string normal_;
};

}  // namespace tern::inline TERN_ABI
