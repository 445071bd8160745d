// What a BPE tokenizer consists of, as plain data (bpe_definition: what a trainer makes and a file
// holds) and with the tables that encoding needs (bpe_model).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/utf8.hpp"
#include "tern/text/added_tokens.hpp"
#include "tern/text/bpe.hpp"
#include "tern/text/bpe_symbols.hpp"
#include "tern/text/normalizer.hpp"
#include "tern/text/pretokenizer.hpp"
#include "tern/text/space_cuts.hpp"

namespace tern::inline TERN_ABI {

/// How ids of a vocabulary of characters become text; bytes need nothing of it.
struct bpe_decoder {
  std::optional<replace_all> replace = {};  ///< in each token
  bool byte_fallback = false;               ///< `<0x0A>` is a byte
  std::size_t strip = 0;                    ///< at most so many spaces are cut from a text's begin
  bool operator==(const bpe_decoder&) const = default;
};

/// A BPE tokenizer as data: by default of the kind of Qwen. Merging starts from bytes where the
/// pre-tokenizer ends in byte_level_step, else from characters.
struct bpe_definition {
  /// By id: raw bytes; or characters as the file spells them (`\u2581the`, `<0x0A>`). Empty where
  /// an added token has the id, or none.
  std::vector<std::string> tokens = {};
  std::vector<std::pair<std::int32_t, std::int32_t>> merges = {};  ///< pairs of ids by rank
  std::vector<added_token> added = {};
  std::vector<normalizer_step> normalizer = {nfc_form{}};
  std::vector<pretokenizer_step> pretokenizer = {split_step{std::string(qwen2_pattern)},
                                                 byte_level_step{}};
  bool whole_words = false;  ///< a piece that is a token is taken whole, without merges
                             ///< (`ignore_merges` in tokenizer.json)
  unknown_rules unknown = {};
  bpe_decoder decoder = {};
  std::vector<std::int32_t> prefix = {}, suffix = {};  ///< special_tokens::add: such as BOS, EOS
  bool operator==(const bpe_definition&) const = default;
};

/// A checked definition with its lookup tables. Immutable: any number of threads may read it.
class bpe_model {
 public:
  /// Throws config_error if ids or contents occur twice, or a merge joins ids that are not there
  /// or that make no token, or the pattern is none.
  explicit bpe_model(bpe_definition definition)
      : definition_(std::move(definition)),
        split_(definition_.pretokenizer),
        cuts_(definition_.tokens),
        symbols_(definition_.tokens, split_.byte_level(), definition_.unknown) {
    index_tokens();
    index_added();
    index_merges();
    for (const auto& ids : {definition_.prefix, definition_.suffix})
      for (const std::int32_t id : ids) static_cast<void>(checked(id));
    if (definition_.unknown.token) static_cast<void>(checked(*definition_.unknown.token));
  }
  bpe_model(const bpe_model&) = delete;
  bpe_model& operator=(const bpe_model&) = delete;

  /// What it was made of, and the parts made of it.
  [[nodiscard]] const bpe_definition& definition() const { return definition_; }
  [[nodiscard]] const pretokenizer& split() const { return split_; }
  [[nodiscard]] const bpe_rules& rules() const { return rules_; }
  [[nodiscard]] const space_cuts& cuts() const { return cuts_; }
  [[nodiscard]] const bpe_symbols& symbols() const { return symbols_; }
  [[nodiscard]] const added_token_matcher& added_before_normalizer() const { return before_; }
  [[nodiscard]] const added_token_matcher& added_after_normalizer() const { return after_; }
  /// One more than the highest id.
  [[nodiscard]] std::size_t size() const { return texts_.size(); }
  /// Appends the bytes of a token, none if no token has the id. Throws config_error if out of
  /// range.
  void append_text(std::int32_t id, std::string& out) const {
    const std::string_view spelled = texts_[checked(id)];
    const bpe_decoder& decoder = definition_.decoder;
    if (const auto byte = fallback_byte(spelled); byte && decoder.byte_fallback)
      out += *byte;
    else if (decoder.replace)
      append_replaced(out, spelled, *decoder.replace);
    else
      out += spelled;
  }
  /// Whether an id is a special added token.
  [[nodiscard]] bool special(std::int32_t id) const { return special_[checked(id)]; }
  /// The id of an entry of the vocabulary as it is spelled there, added tokens left aside.
  [[nodiscard]] std::optional<std::int32_t> vocabulary_id(std::string_view bytes) const {
    return lookup(ids_, bytes);
  }
  /// The id of an added token by its content.
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
    texts_.assign(definition_.tokens.begin(), definition_.tokens.end());
    ids_.reserve(texts_.size());
    for (std::size_t i = 0; i < texts_.size(); ++i) {
      const auto id = static_cast<std::int32_t>(i);
      if (texts_[i].empty()) continue;
      if (const auto [at, fresh] = ids_.emplace(texts_[i], id); !fresh)
        throw config_error("ids " + std::to_string(at->second) + " and " + std::to_string(id) +
                           " have the same token");
    }
  }

  void index_added() {
    special_.assign(texts_.size(), false);
    std::vector<bool> seen(texts_.size(), false);
    std::string buffer;
    spellings_.reserve(definition_.added.size());  // texts_ points into it
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
      special_[id] = token.special;
      spellings_.emplace_back(token.normalized
                                  ? normalize(definition_.normalizer, token.content, buffer)
                                  : token.content);
      texts_[id] = spellings_.back();
      if (!spellings_.back().empty())
        (token.normalized ? after_ : before_).add(token, spellings_.back());
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
      // By value: clang 16 with -fopenmp captures no structured binding.
      const auto name = [l = left, r = right] {
        return "merge " + std::to_string(l) + " + " + std::to_string(r);
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
  space_cuts cuts_;
  bpe_symbols symbols_;
  bpe_rules rules_;
  added_token_matcher before_, after_;
  id_map ids_, added_ids_;
  std::vector<std::string> spellings_;   // of the added tokens, as they are looked for
  std::vector<std::string_view> texts_;  // by id, added tokens included
  std::vector<bool> special_;
};

}  // namespace tern::inline TERN_ABI
