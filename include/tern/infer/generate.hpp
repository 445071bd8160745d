// Text from a model: it gets a prompt and then generates token after token until the answer ends.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/infer/sampler.hpp"
#include "tern/infer/session.hpp"
#include "tern/infer/text_stream.hpp"

namespace tern::inline TERN_ABI {

/// A tokenizer that gives the text of a token, as bpe_tokenizer does.
template <class T>
concept token_reader = requires(const T& tokenizer, std::int32_t token) {
  { tokenizer.token_text(token) } -> std::convertible_to<std::string_view>;
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
  cancelled,    ///< the callback returned false
};

/// An answer of a model.
struct generation {
  std::string text;                              ///< the text of `tokens`, up to a stop string
  std::vector<std::int32_t> tokens;              ///< tokens without the stop token
  finish_reason finish = finish_reason::length;  ///< reason for which it ended
};

/// Appends the prompt to a sequence of the session and generates an answer.
/// on_text(std::string_view) gets each new piece of text, in whole characters. It returns nothing,
/// or a bool that is false to end the answer. Throws the exceptions of session::append() and
/// sampler.
template <class Model, token_reader Tokenizer, class F>
generation generate(session<Model>& s, const Tokenizer& tokenizer,
                    std::span<const std::int32_t> prompt, const generation_options& options,
                    F&& on_text, std::size_t sequence = 0) {
  generation result;
  sampler next(options.sampling, s.model().config().vocab_size, options.never);
  text_stream stream(options.stop_strings);
  std::vector<std::int32_t> history(prompt.begin(), prompt.end());
  history.reserve(history.size() + std::min(options.max_tokens, s.cache().shape().capacity));
  const auto show = [&](std::string_view text) {
    result.text += text;
    if constexpr (std::same_as<decltype(on_text(text)), void>)
      return text.empty() || (on_text(text), true);
    else
      return text.empty() || on_text(text);
  };
  row_view<const float> logits = s.append(prompt, sequence);
  while (result.tokens.size() < options.max_tokens) {
    const std::int32_t token = next(logits, history);
    if (std::ranges::count(options.stop_tokens, token) != 0) {
      result.finish = finish_reason::stop_token;
      break;
    }
    result.tokens.push_back(token);
    history.push_back(token);
    const bool wanted = show(stream.push(tokenizer.token_text(token)));
    if (stream.stopped() || !wanted) {
      result.finish = wanted ? finish_reason::stop_string : finish_reason::cancelled;
      break;
    }
    if (s.length(sequence) == s.cache().shape().capacity) break;
    logits = s.append({&token, 1}, sequence);
  }
  if (result.finish != finish_reason::cancelled) show(stream.finish());
  return result;
}

}  // namespace tern::inline TERN_ABI
