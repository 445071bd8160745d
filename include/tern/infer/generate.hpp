// Text from a model: a prompt, then token after token until something ends it.
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

/// Knows the text of a token, as bpe_tokenizer does.
template <class T>
concept token_reader = requires(const T& tokenizer, std::int32_t token) {
  { tokenizer.token_text(token) } -> std::convertible_to<std::string_view>;
};

/// How to go on, and when to stop.
struct generation_options {
  sampling_options sampling = {};  ///< of each token
  std::size_t max_tokens = 256;    ///< of the answer
  std::vector<std::int32_t> stop_tokens =
      {};  ///< see end_tokens(); none of them is part of the result
  std::vector<std::string> stop_strings = {};  ///< nor these
};

/// Why an answer ended.
enum class finish_reason {
  length,  ///< max_tokens, or the session's capacity
  stop_token,
  stop_string,
  cancelled,  ///< the callback returned false
};

/// An answer.
struct generation {
  std::string text;                              ///< of `tokens`, up to a stop string
  std::vector<std::int32_t> tokens;              ///< without the stop token
  finish_reason finish = finish_reason::length;  ///< why it ended
};

/// Appends the prompt to a sequence of the session and answers it. on_text(std::string_view) gets
/// the text as it grows, in whole characters; it returns nothing, or false to end here. Throws as
/// session::append and sampler.
template <class Model, token_reader Tokenizer, class F>
generation generate(session<Model>& s, const Tokenizer& tokenizer,
                    std::span<const std::int32_t> prompt, const generation_options& options,
                    F&& on_text, std::size_t sequence = 0) {
  generation result;
  sampler next(options.sampling, s.model().config().vocab_size);
  text_stream stream(options.stop_strings);
  std::vector<std::int32_t> history(prompt.begin(), prompt.end());
  history.reserve(history.size() + options.max_tokens);
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
