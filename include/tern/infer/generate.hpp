// Text from a model: it gets a prompt and then generates token after token until the answer ends.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "tern/infer/growing_answer.hpp"
#include "tern/infer/session.hpp"

namespace tern::inline TERN_ABI {

/// Appends the prompt to a sequence of the session and generates an answer.
/// on_text(std::string_view) gets each new piece of text, in whole characters. It returns nothing,
/// or a bool that is false to end the answer. Throws the exceptions of session::append() and
/// sampler.
template <class Model, token_reader Tokenizer, class F>
generation generate(session<Model>& s, const Tokenizer& tokenizer,
                    std::span<const std::int32_t> prompt, const generation_options& options,
                    F&& on_text, std::size_t sequence = 0) {
  growing_answer answer(prompt, options, s.model().config().vocab_size);
  const auto show = [&](std::string_view text) {
    if constexpr (std::same_as<decltype(on_text(text)), void>)
      return text.empty() || (on_text(text), true);
    else
      return text.empty() || on_text(text);
  };
  row_view<const float> logits = s.append(prompt, sequence);
  while (!answer.ended()) {
    if (!show(answer.take(logits, tokenizer))) {
      answer.end(finish_reason::cancelled);
      return answer.result();
    }
    if (answer.result().finish != finish_reason::length) break;
    if (s.length(sequence) == s.cache().shape().capacity)
      answer.end(finish_reason::length);
    else  // the last token, too, so that the sequence can go on from there
      logits = s.append({&answer.last(), 1}, sequence);
  }
  show(answer.rest());
  return answer.result();
}

}  // namespace tern::inline TERN_ABI
