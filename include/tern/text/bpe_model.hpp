// The parts of a BPE tokenizer. bpe_definition is plain data, which a trainer makes and a file
// holds. bpe_model has the lookup tables that encoding needs.
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
#include "tern/text/byte_level.hpp"
#include "tern/text/normalizer.hpp"
#include "tern/text/pretokenizer.hpp"
#include "tern/text/space_cuts.hpp"

namespace tern::inline TERN_ABI {

/// Rules that turn ids of a vocabulary of characters into text. A vocabulary of bytes needs no such
/// rules.
struct decode_rules {
  std::optional<replace_all> replace = {};  ///< replacement in the spelling of each token
  bool byte_fallback = false;               ///< whether `<0x0A>` spells a byte
  std::size_t strip = 0;  ///< most spaces that are removed from the beginning of a text
  bool operator==(const decode_rules&) const = default;
};

/// A BPE tokenizer as data. The defaults are those of Qwen. Merging starts from bytes if the
/// pre-tokenizer ends with byte_level_step, else from characters.
struct bpe_definition {
  /// The token of each id: raw bytes, or characters as the file spells them (`\u2581the`,
  /// `<0x0A>`). It is empty if the id belongs to an added token or is not used.
  std::vector<std::string> tokens = {};
  /// Entries of the vocabulary that no text gives, as id and spelling in a file: entries that no
  /// byte spells, and entries that another id has, too. They only have a text. Their ids are not
  /// used in `tokens`.
  std::vector<std::pair<std::int32_t, std::string>> decode_only = {};
  std::vector<std::pair<std::int32_t, std::int32_t>> merges = {};  ///< pairs of ids by rank
  std::vector<added_token> added = {};
  std::vector<normalizer_step> normalizer = {nfc_form{}};
  std::vector<pretokenizer_step> pretokenizer = {split_step{std::string(qwen2_pattern)},
                                                 byte_level_step{}};
  /// Whether a piece that is a token becomes that token without merges (`ignore_merges` in
  /// tokenizer.json).
  bool whole_words = false;
  unknown_rules unknown = {};
  decode_rules decode = {};
  /// Tokens that special_tokens::add puts before and after a text, such as BOS and EOS.
  std::vector<std::int32_t> prefix = {}, suffix = {};
  bool operator==(const bpe_definition&) const = default;
};

/// A checked definition with its lookup tables. It is immutable, so any number of threads may read
/// it.
class bpe_model {
 public:
  /// Throws config_error if an id or a content occurs twice, if a merge joins ids that do not exist
  /// or whose concatenation is not a token, or if the pattern is not valid.
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

  /// The definition that the model was made from. The other functions return parts that were made
  /// from it.
  [[nodiscard]] const bpe_definition& definition() const { return definition_; }
  [[nodiscard]] const pretokenizer& split() const { return split_; }
  [[nodiscard]] const bpe_rules& rules() const { return rules_; }
  [[nodiscard]] const space_cuts& cuts() const { return cuts_; }
  [[nodiscard]] const bpe_symbols& symbols() const { return symbols_; }
  [[nodiscard]] const added_token_matcher& added_before_normalizer() const { return before_; }
  [[nodiscard]] const added_token_matcher& added_after_normalizer() const { return after_; }
  /// One more than the highest id.
  [[nodiscard]] std::size_t size() const { return texts_.size(); }
  /// Appends the bytes of a token, or nothing if no token has the id: models often have more ids
  /// than their tokenizers have tokens. Throws config_error if the id is negative.
  void append_text(std::int32_t id, std::string& out) const {
    if (has_no_token(id)) return;
    const std::string_view spelled = texts_[static_cast<std::size_t>(id)];
    const decode_rules& rules = definition_.decode;
    if (const auto byte = fallback_byte(spelled); byte && rules.byte_fallback)
      out += *byte;
    else if (rules.replace)
      append_replaced(out, spelled, *rules.replace);
    else
      out += spelled;
  }
  /// Whether the id belongs to a special added token.
  [[nodiscard]] bool special(std::int32_t id) const {
    return !has_no_token(id) && special_[static_cast<std::size_t>(id)];
  }
  /// The id of an entry of the vocabulary, given as it is spelled there. Added tokens are not
  /// searched.
  [[nodiscard]] std::optional<std::int32_t> vocabulary_id(std::string_view bytes) const {
    return lookup(ids_, bytes);
  }
  /// The id of the added token with this content.
  [[nodiscard]] std::optional<std::int32_t> added_id(std::string_view content) const {
    return lookup(added_ids_, content);
  }

 private:
  // The keys are views of definition_.
  using id_map = std::unordered_map<std::string_view, std::int32_t>;

  static std::optional<std::int32_t> lookup(const id_map& ids, std::string_view text) {
    const auto found = ids.find(text);
    return found == ids.end() ? std::nullopt : std::optional(found->second);
  }

  /// Whether the id is not below size(). Throws config_error if it is negative.
  [[nodiscard]] bool has_no_token(std::int32_t id) const {
    if (id < 0) throw config_error("token id " + std::to_string(id) + " is negative");
    return static_cast<std::size_t>(id) >= texts_.size();
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
    decode_only_.reserve(definition_.decode_only.size());  // texts_ refers to the elements
    for (const auto& [id, spelled] : definition_.decode_only) {
      if (id < 0) throw config_error("decode_only: id " + std::to_string(id) + " is negative");
      const auto at = static_cast<std::size_t>(id);
      if (at >= texts_.size()) texts_.resize(at + 1);
      if (!texts_[at].empty())
        throw config_error("decode_only: id " + std::to_string(id) + " has another token");
      auto bytes = split_.byte_level() ? from_byte_level(spelled) : std::nullopt;
      texts_[at] = decode_only_.emplace_back(bytes ? *std::move(bytes) : spelled);
    }
  }

  void index_added() {
    special_.assign(texts_.size(), false);
    std::vector<bool> seen(texts_.size(), false);
    std::string buffer;
    spellings_.reserve(definition_.added.size());  // texts_ refers to the elements
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
      // Captured by value, since clang 16 with -fopenmp cannot capture structured bindings.
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
  std::vector<std::string> decode_only_;  // texts of the entries that only have a text
  std::vector<std::string> spellings_;    // patterns of the added tokens
  std::vector<std::string_view> texts_;   // the text of each id, even of added tokens
  std::vector<bool> special_;
};

}  // namespace tern::inline TERN_ABI
