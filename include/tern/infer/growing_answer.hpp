// An answer that grows by one token at a time: which token follows, the text that tokens make, and
// when the answer ends. Who runs the model is left to the caller.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/core/tensor.hpp"
#include "tern/infer/sampler.hpp"
#include "tern/infer/text_stream.hpp"

namespace tern::inline TERN_ABI {

/// A tokenizer that gives the text of a token, as bpe_tokenizer does.
template <class T>
concept token_reader = requires(const T& tokenizer, std::int32_t token) {
  { tokenizer.token_text(token) } -> std::convertible_to<std::string_view>;
};

/// A token_reader whose tokens have no text, for answers of which only the tokens are wanted.
struct no_text {
  /// The empty text.
  static std::string_view token_text(std::int32_t) { return {}; }
};

/// Options that say how tokens are chosen and when an answer ends.
struct generation_options {
  sampling_options sampling = {};  ///< options of the sampler
  std::size_t max_tokens = 256;    ///< most tokens of an answer
  /// Tokens that end an answer and are not part of it; see text_conventions::ends.
  std::vector<std::int32_t> stop_tokens = {};
  std::vector<std::int32_t> never = {};  ///< tokens that are never chosen; see ids_without_text()
  /// Strings that end an answer and are not part of its text.
  std::vector<std::string> stop_strings = {};
};

/// The reason for which an answer ended.
enum class finish_reason {
  length,       ///< max_tokens or the session's capacity was reached
  stop_token,   ///< the model chose a stop token
  stop_string,  ///< the text contained a stop string
  cancelled,    ///< the caller ended it
};

/// An answer of a model.
struct generation {
  std::string text;                              ///< the text of `tokens`, up to a stop string
  std::vector<std::int32_t> tokens;              ///< tokens without the stop token
  finish_reason finish = finish_reason::length;  ///< reason for which it ended
};

class growing_answer {
 public:
  /// An answer of no tokens. The repetition penalty applies to the tokens of `prompt` and to those
  /// of the answer. Throws as the constructor of sampler does.
  growing_answer(std::span<const std::int32_t> prompt, const generation_options& options,
                 std::size_t vocabulary)
      : next_(options.sampling, vocabulary, options.never),
        stream_(options.stop_strings),
        stop_tokens_(options.stop_tokens),
        max_tokens_(options.max_tokens),
        history_(prompt.begin(), prompt.end()),
        ended_(options.max_tokens == 0) {}

  /// Chooses the token that follows, unless the answer has ended. `logits`: one for each token of
  /// the vocabulary. Returns the text that may be shown now, valid until the next call. Throws as
  /// sampler does.
  template <token_reader Tokenizer>
  std::string_view take(row_view<const float> logits, const Tokenizer& tokenizer) {
    if (ended_) return {};
    const std::int32_t token = next_(logits, history_);
    if (std::ranges::count(stop_tokens_, token) != 0) {
      end(finish_reason::stop_token);
      return {};
    }
    result_.tokens.push_back(token);
    history_.push_back(token);
    const std::string_view text = stream_.push(tokenizer.token_text(token));
    result_.text += text;
    if (stream_.stopped())
      end(finish_reason::stop_string);
    else if (result_.tokens.size() >= max_tokens_)
      end(finish_reason::length);
    return text;
  }

  /// Ends the answer, for a reason that it cannot see itself.
  void end(finish_reason reason) {
    result_.finish = reason;
    ended_ = true;
  }
  /// Whether no token follows.
  [[nodiscard]] bool ended() const { return ended_; }

  /// Adds the text that was held back, after the last token, and returns it, valid until the next
  /// call.
  std::string_view rest() {
    const std::string_view text = stream_.finish();
    result_.text += text;
    return text;
  }

  /// The token that was chosen last, which the model takes in next. There must be one.
  [[nodiscard]] const std::int32_t& last() const { return result_.tokens.back(); }
  /// The answer so far.
  [[nodiscard]] const generation& result() const { return result_; }

 private:
  sampler next_;
  text_stream stream_;
  std::vector<std::int32_t> stop_tokens_;
  std::size_t max_tokens_;
  std::vector<std::int32_t> history_;
  generation result_;
  bool ended_;
};

}  // namespace tern::inline TERN_ABI
