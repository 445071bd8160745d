// Splits text into pieces, whose borders BPE merges never cross. These are the pre-tokenizers of
// Hugging Face's tokenizer.json that BPE models use.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tern/text/normalizer.hpp"
#include "tern/text/regex.hpp"

namespace tern::inline TERN_ABI {

/// The split of Qwen2, Qwen2.5 and Qwen3. Digits are split one by one, and a word may have one
/// leading character that is no letter.
inline constexpr std::string_view qwen2_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

/// The split of Llama 3. It is Qwen2's, but with up to three digits in a piece.
inline constexpr std::string_view llama3_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

/// The split of GPT-2. A piece is a sequence of letters, of digits or of other characters, with at
/// most one leading space.
inline constexpr std::string_view gpt2_pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// The visible space of SentencePiece, U+2581.
inline constexpr std::string_view metaspace = "\u2581";

/// Treatment of the matches of a split's pattern.
enum class split_behavior { isolated, removed, merged_with_previous, merged_with_next, contiguous };

/// Step that splits a text where a pattern matches.
struct split_step {
  std::string pattern;                                 ///< a PCRE2 regular expression
  split_behavior behavior = split_behavior::isolated;  ///< treatment of matches
  /// Whether matches and the text between matches change their roles.
  bool invert = false;
  bool operator==(const split_step&) const = default;
};

/// Step after which text is treated as bytes. It is the last step of every byte-level BPE tokenizer
/// and occurs in no other.
struct byte_level_step {
  bool add_prefix_space = false;  ///< whether a text that begins without a space gets one
  bool use_regex = false;         ///< whether to split with gpt2_pattern
  bool operator==(const byte_level_step&) const = default;
};

/// Step that replaces spaces by U+2581 and puts one before the text.
struct metaspace_step {
  /// Which pieces get U+2581 in front. `first` means only the piece at the beginning of the text.
  enum class prepend_scheme { always, first, never };
  prepend_scheme prepend = prepend_scheme::always;  ///< which pieces get U+2581 in front
  bool split = true;                                ///< whether to split before each U+2581
  bool operator==(const metaspace_step&) const = default;
};

/// One step. Steps are applied one after another.
using pretokenizer_step = std::variant<split_step, byte_level_step, metaspace_step>;

/// The compiled steps. An object is immutable, so any number of threads may use it at a time.
class pretokenizer {
 public:
  /// Throws config_error if a pattern is not valid or a step follows byte_level_step.
  explicit pretokenizer(const std::vector<pretokenizer_step>& steps) {
    for (const pretokenizer_step& step : steps) {
      if (byte_level_) throw config_error("pre-tokenizer: no step may follow ByteLevel");
      std::visit([this](const auto& s) { stages_.push_back(compile(s)); }, step);
      byte_level_ = std::holds_alternative<byte_level_step>(step);
    }
  }

  /// Whether merging starts from bytes, not from characters.
  [[nodiscard]] bool byte_level() const { return byte_level_; }

  /// Calls `piece(std::string_view)` for the pieces of well-formed UTF-8 in order. No piece is
  /// empty. `at_start` says whether `text` is the beginning of the whole text and does not follow
  /// an added token. Throws config_error like regex::split().
  template <class F>
  void split(std::string_view text, bool at_start, F&& piece) const {
    apply(0, text, at_start, piece);
  }

 private:
  struct stage {
    std::string_view prefix = {};
    bool first_only = false, spaces_to_metaspace = false;
    std::optional<regex> pattern = {};
    split_behavior behavior = split_behavior::isolated;
    bool invert = false;
  };

  static stage compile(const split_step& step) {
    return {{}, false, false, regex(step.pattern), step.behavior, step.invert};
  }
  static stage compile(const byte_level_step& step) {
    stage s{step.add_prefix_space ? " " : ""};
    if (step.use_regex) s.pattern.emplace(gpt2_pattern);
    return s;
  }
  static stage compile(const metaspace_step& step) {
    using enum metaspace_step::prepend_scheme;
    stage s{step.prepend == never ? "" : metaspace, step.prepend == first, true};
    if (step.split) s.pattern.emplace(metaspace);
    s.behavior = split_behavior::merged_with_next;
    return s;
  }

  template <class F>
  void apply(std::size_t at, std::string_view text, bool at_start, F& piece) const {
    if (text.empty()) return;
    if (at == stages_.size()) return piece(text);
    const stage& s = stages_[at];
    std::string changed;
    if (s.spaces_to_metaspace) append_replaced(changed, text, {" ", std::string(metaspace)});
    if (s.spaces_to_metaspace) text = changed;
    if (!s.prefix.empty() && (at_start || !s.first_only) && !text.starts_with(s.prefix)) {
      changed = std::string(s.prefix).append(text);
      text = changed;
    }
    const auto next = [&](std::string_view part) {
      apply(at + 1, part, at_start && part.data() == text.data(), piece);
    };
    if (s.pattern)
      split_by(s, text, next);
    else
      next(text);
  }

  /// Splits the text with the stage's pattern and joins neighbours as its behavior says.
  template <class F>
  static void split_by(const stage& s, std::string_view text, F&& next) {
    std::string_view pending;
    bool pending_matched = false;
    s.pattern->split(text, [&](std::string_view part, bool matched) {
      matched = matched != s.invert;
      if (!pending.empty() && joins(s.behavior, pending_matched, matched)) {
        pending = {pending.data(), pending.size() + part.size()};
      } else {
        next(pending);
        pending = matched && s.behavior == split_behavior::removed ? std::string_view() : part;
      }
      pending_matched = matched;
    });
    next(pending);
  }

  static bool joins(split_behavior behavior, bool left_matched, bool right_matched) {
    switch (behavior) {
      case split_behavior::merged_with_previous:
        return right_matched && !left_matched;
      case split_behavior::merged_with_next:
        return left_matched && !right_matched;
      case split_behavior::contiguous:
        return left_matched == right_matched;
      default:
        return false;
    }
  }

  std::vector<stage> stages_;
  bool byte_level_ = false;
};

}  // namespace tern::inline TERN_ABI
