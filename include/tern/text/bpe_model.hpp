// What a byte-level BPE tokenizer consists of, as plain data (bpe_definition: what a trainer makes
// and a file holds) and with the tables that encoding needs (bpe_model).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/text/added_tokens.hpp"
#include "tern/text/bpe.hpp"
#include "tern/text/pretokenizer.hpp"
#include "tern/text/utf8.hpp"

namespace tern::inline TERN_ABI {

/// A byte-level BPE tokenizer as data.
struct bpe_definition {
  std::vector<std::string> tokens = {};  ///< raw bytes by id; empty where an added token has the id
  std::vector<std::pair<std::int32_t, std::int32_t>> merges = {};  ///< pairs of ids by rank
  std::vector<added_token> added = {};
  std::string pattern{qwen2_pattern};  ///< of the pre-tokenizer; empty: no split
  bool nfc = true;                     ///< normalize to form C first
  bool whole_words = false;            ///< a piece that is a token is taken whole, without merges
                                       ///< (`ignore_merges` in tokenizer.json)
  bool operator==(const bpe_definition&) const = default;
};

/// A checked definition with its lookup tables. Immutable: any number of threads may read it.
class bpe_model {
 public:
  /// Throws config_error if ids or contents occur twice, or a merge joins ids that are not there
  /// or that make no token, or the pattern is none.
  explicit bpe_model(bpe_definition definition)
      : definition_(std::move(definition)), split_(definition_.pattern) {
    index_tokens();
    index_added();
    index_merges();
  }
  bpe_model(const bpe_model&) = delete;
  bpe_model& operator=(const bpe_model&) = delete;

  [[nodiscard]] const bpe_definition& definition() const { return definition_; }
  [[nodiscard]] const pretokenizer& split() const { return split_; }
  [[nodiscard]] const bpe_rules& rules() const { return rules_; }
  [[nodiscard]] const added_token_matcher& added_before_nfc() const { return before_nfc_; }
  [[nodiscard]] const added_token_matcher& added_after_nfc() const { return after_nfc_; }
  /// The token of a single byte, -1 if the vocabulary lacks it.
  [[nodiscard]] std::int32_t byte_id(char byte) const {
    return byte_ids_[static_cast<unsigned char>(byte)];
  }
  /// One more than the highest id.
  [[nodiscard]] std::size_t size() const { return texts_.size(); }
  /// The bytes of a token, empty if no token has the id. Throws config_error if out of range.
  [[nodiscard]] std::string_view text(std::int32_t id) const { return texts_[checked(id)]; }
  [[nodiscard]] bool special(std::int32_t id) const { return special_[checked(id)]; }
  /// The id of an entry of the vocabulary, added tokens left aside.
  [[nodiscard]] std::optional<std::int32_t> vocabulary_id(std::string_view bytes) const {
    return lookup(ids_, bytes);
  }
  [[nodiscard]] std::optional<std::int32_t> added_id(std::string_view content) const {
    return lookup(added_ids_, content);
  }

 private:
  using id_map = std::unordered_map<std::string_view, std::int32_t>;  // views of definition_

  static std::optional<std::int32_t> lookup(const id_map& ids, std::string_view text) {
    const auto found = ids.find(text);
    return found == ids.end() ? std::nullopt : std::optional(found->second);
  }

  std::size_t checked(std::int32_t id) const {
    if (id < 0 || static_cast<std::size_t>(id) >= texts_.size())
      throw config_error("token id " + std::to_string(id) + " is not in 0.." +
                         std::to_string(texts_.size() - 1));
    return static_cast<std::size_t>(id);
  }

  void index_tokens() {
    byte_ids_.fill(-1);
    texts_.assign(definition_.tokens.begin(), definition_.tokens.end());
    ids_.reserve(texts_.size());
    for (std::size_t i = 0; i < texts_.size(); ++i) {
      const auto id = static_cast<std::int32_t>(i);
      if (texts_[i].empty()) continue;
      if (const auto [at, fresh] = ids_.emplace(texts_[i], id); !fresh)
        throw config_error("ids " + std::to_string(at->second) + " and " + std::to_string(id) +
                           " have the same token");
      if (texts_[i].size() == 1) byte_ids_[static_cast<unsigned char>(texts_[i][0])] = id;
    }
  }

  void index_added() {
    special_.assign(texts_.size(), false);
    std::vector<bool> seen(texts_.size(), false);
    for (const added_token& token : definition_.added) {
      if (token.content.empty() || token.id < 0 ||
          find_invalid_utf8(token.content) != token.content.size())
        throw config_error("added token \"" + token.content +
                           "\" is empty, not UTF-8, or has a negative id");
      const auto id = static_cast<std::size_t>(token.id);
      if (id >= texts_.size()) {
        texts_.resize(id + 1);
        special_.resize(id + 1);
        seen.resize(id + 1);
      }
      if (seen[id] || !added_ids_.emplace(token.content, token.id).second)
        throw config_error("added token \"" + token.content + "\" (id " + std::to_string(token.id) +
                           "): content or id occurs twice");
      seen[id] = true;
      texts_[id] = token.content;
      special_[id] = token.special;
      (token.normalized ? after_nfc_ : before_nfc_).add(token);
    }
  }

  void index_merges() {
    const auto& tokens = definition_.tokens;
    const auto exists = [&](std::int32_t id) {
      return id >= 0 && static_cast<std::size_t>(id) < tokens.size() &&
             !tokens[static_cast<std::size_t>(id)].empty();
    };
    std::string joined;
    rules_.reserve(definition_.merges.size());
    for (const auto& [left, right] : definition_.merges) {
      const auto name = [&] {
        return "merge " + std::to_string(left) + " + " + std::to_string(right);
      };
      if (!exists(left) || !exists(right)) throw config_error(name() + ": no such token");
      joined = tokens[static_cast<std::size_t>(left)];
      joined += tokens[static_cast<std::size_t>(right)];
      const auto result = vocabulary_id(joined);
      if (!result) throw config_error(name() + ": their concatenation is not in the vocabulary");
      rules_.add(left, right, *result);
    }
  }

  bpe_definition definition_;
  pretokenizer split_;
  bpe_rules rules_;
  added_token_matcher before_nfc_, after_nfc_;
  id_map ids_, added_ids_;
  std::vector<std::string_view> texts_;  // by id, added tokens included
  std::vector<bool> special_;
  std::array<std::int32_t, 256> byte_ids_{};
};

}  // namespace tern::inline TERN_ABI
