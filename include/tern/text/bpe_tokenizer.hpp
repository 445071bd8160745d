// The BPE tokenizers of language models. Byte-level ones (GPT-2, Qwen, Llama 3; Radford et al.
// 2019) split text into pieces with a regular expression and merge the bytes of a piece to tokens.
// Those of Gemma, Llama 2 and Mistral merge characters, and spell unknown characters in bytes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/utf8.hpp"
#include "tern/text/bpe.hpp"
#include "tern/text/bpe_model.hpp"
#include "tern/text/bpe_trainer.hpp"
#include "tern/text/normalizer.hpp"
#include "tern/text/word_cache.hpp"

namespace tern::inline TERN_ABI {

/// Treatment of added tokens (`<|im_end|>`) that occur in a text.
enum class added_text {
  recognise,  ///< they become their ids
  plain       ///< they are ordinary text, for input that must not contain control tokens
};

/// Whether encoding adds the tokens that the model expects around a text, such as BOS. They come
/// from `add_bos_token` or from the TemplateProcessing of tokenizer.json.
enum class special_tokens { none, add };

/// Encodes texts with the working memory of one thread: a cache of words and the heap of merges.
/// Encoders share the immutable tokenizer, so any number of threads can have one each.
class bpe_encoder {
 public:
  /// Makes an encoder with an empty cache.
  explicit bpe_encoder(std::shared_ptr<const bpe_model> model) : model_(std::move(model)) {}

  /// Appends the ids of `text` to `ids`. A character that has no token is left out if there is no
  /// unknown token either. Throws format_error naming the byte offset if `text` is not UTF-8; `ids`
  /// is then unchanged.
  void encode(std::string_view text, std::vector<std::int32_t>& ids,
              added_text added = added_text::recognise,
              special_tokens special = special_tokens::none) {
    require_utf8(text);
    const bpe_definition& definition = model_->definition();
    if (special == special_tokens::add)
      ids.insert(ids.end(), definition.prefix.begin(), definition.prefix.end());
    if (added == added_text::recognise)
      add_with_tokens(text, ids);
    else
      add_text(normalize(definition.normalizer, text, normal_), true, ids);
    if (special == special_tokens::add)
      ids.insert(ids.end(), definition.suffix.begin(), definition.suffix.end());
  }

 private:
  void add_with_tokens(std::string_view text, std::vector<std::int32_t>& ids) {
    const auto token = [&](std::int32_t id) { ids.push_back(id); };
    const auto raw = [&](std::string_view part) {
      const auto normal = normalize(model_->definition().normalizer, part, normal_);
      const auto plain = [&](std::string_view piece) {
        add_text(piece, part.data() == text.data() && piece.data() == normal.data(), ids);
      };
      model_->added_after_normalizer().split(normal, plain, token);
    };
    model_->added_before_normalizer().split(text, raw, token);
  }

  void add_text(std::string_view text, bool at_start, std::vector<std::int32_t>& ids) {
    model_->split().split(text, at_start, [&](std::string_view piece) {
      if (model_->split().byte_level() || model_->definition().whole_words)
        add_piece(piece, ids);
      else
        model_->cuts().split(piece, [&](std::string_view word) { add_piece(word, ids); });
    });
  }

  void add_piece(std::string_view piece, std::vector<std::int32_t>& ids) {
    if (const auto known = cache_.find(piece); !known.empty()) {
      ids.insert(ids.end(), known.begin(), known.end());
      return;
    }
    const std::size_t before = ids.size();
    if (const auto whole = whole_word(piece)) {
      ids.push_back(*whole);
    } else {
      symbols_.clear();
      model_->symbols().append(piece, symbols_);
      merger_.merge(model_->rules(), symbols_, ids);
    }
    cache_.insert(piece, std::span(ids).subspan(before));
  }

  [[nodiscard]] std::optional<std::int32_t> whole_word(std::string_view piece) const {
    if (!model_->definition().whole_words) return std::nullopt;
    return model_->vocabulary_id(piece);
  }

  std::shared_ptr<const bpe_model> model_;
  word_cache cache_;
  bpe_merger merger_;
  std::vector<std::int32_t> symbols_;
  std::string normal_;
};

/// A BPE tokenizer. It is an immutable value that is cheap to copy and can be used by any number of
/// threads at a time. To encode many short texts, use one `encoder()` per thread.
class bpe_tokenizer {
 public:
  /// Throws config_error if the definition contradicts itself (see bpe_model).
  explicit bpe_tokenizer(bpe_definition definition)
      : model_(std::make_shared<const bpe_model>(std::move(definition))) {}

  /// Reads a Hugging Face tokenizer.json. It is defined in `tern/text/tokenizer_json.hpp`. `notes`
  /// gets a sentence for each place where the file is ambiguous, which says how it was read.
  /// `more`: added tokens of other files; they get the next ids where the file does not have them.
  inline static bpe_tokenizer load(const std::filesystem::path& path,
                                   std::vector<std::string>* notes = nullptr,
                                   std::span<const added_token> more = {});

  /// Writes a Hugging Face tokenizer.json. It is defined in `tern/text/tokenizer_json.hpp`.
  inline void save(const std::filesystem::path& path) const;

  /// Learns a vocabulary from one text; bpe_trainer takes many texts. The same text gives the same
  /// tokenizer.
  static bpe_tokenizer train(std::string_view corpus, const bpe_train_options& options) {
    bpe_trainer trainer(options);
    trainer.add(corpus);
    return bpe_tokenizer(trainer.finish());
  }

  /// Makes an encoder with an empty cache, for one thread.
  [[nodiscard]] bpe_encoder encoder() const { return bpe_encoder(model_); }

  /// Returns the ids of `text`. Throws like bpe_encoder::encode().
  [[nodiscard]] std::vector<std::int32_t> encode(
      std::string_view text, added_text added = added_text::recognise,
      special_tokens special = special_tokens::none) const {
    std::vector<std::int32_t> ids;
    encoder().encode(text, ids, added, special);
    return ids;
  }

  /// Appends the ids of `text` to `ids`. Throws like bpe_encoder::encode().
  void encode(std::string_view text, std::vector<std::int32_t>& ids,
              added_text added = added_text::recognise,
              special_tokens special = special_tokens::none) const {
    encoder().encode(text, ids, added, special);
  }

  /// Returns the bytes of `ids`, which are those of the normalized text. A part of a sequence may
  /// begin or end inside a character. An id without a token has no bytes. Throws config_error if an
  /// id is negative.
  [[nodiscard]] std::string decode(std::span<const std::int32_t> ids,
                                   bool skip_special = false) const {
    std::string text;
    for (const std::int32_t id : ids)
      if (!skip_special || !model_->special(id)) model_->append_text(id, text);
    const std::size_t spaces = std::min(text.find_first_not_of(' '), text.size());
    return text.erase(0, std::min(model_->definition().decode.strip, spaces));
  }

  /// Returns the bytes of one token, which are the same at every place of a text. decode() returns
  /// these bytes one after another, without the space that some tokenizers put before each text.
  [[nodiscard]] std::string token_text(std::int32_t id) const {
    std::string text;
    model_->append_text(id, text);
    return text;
  }

  /// The id of a token, given as the vocabulary spells it: bytes (`" the"`), characters
  /// (`"\u2581the"`) or an added token (`"<|im_end|>"`). It is empty if there is no such token.
  [[nodiscard]] std::optional<std::int32_t> token_id(std::string_view text) const {
    const auto added = model_->added_id(text);
    return added ? added : model_->vocabulary_id(text);
  }

  /// One more than the highest id, added tokens included.
  [[nodiscard]] std::size_t vocab_size() const { return model_->size(); }

  /// Vocabulary, merges and options, which a writer of another format needs.
  [[nodiscard]] const bpe_definition& definition() const { return model_->definition(); }

 private:
  std::shared_ptr<const bpe_model> model_;
};

}  // namespace tern::inline TERN_ABI
