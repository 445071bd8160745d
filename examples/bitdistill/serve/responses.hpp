// What clients get: JSON in the form of OpenAI's interface.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "serve/answer_task.hpp"
#include "tern/infer/growing_answer.hpp"
#include "tern/text/bpe_tokenizer.hpp"

namespace bitdistill::serving {

using ordered_json = nlohmann::ordered_json;  ///< members stay in the order in which they are made

/// The JSON as text in one line. Bytes that are not UTF-8, of which a model may write some, become
/// U+FFFD.
std::string to_text(const ordered_json& value);

/// The body of an error.
ordered_json error_json(int status, const std::string& message, const std::string& code);

/// Numbers of tokens, for `usage`.
ordered_json usage_json(std::size_t prompt, std::size_t completion);

/// A vector as a list of numbers, or as base64 of its floats in little-endian order.
ordered_json vector_json(std::span<const float> values, bool base64);

/// Makes the parts of one answer in the form of completions or of chats. An object serves one
/// request.
class answer_json {
 public:
  /// `chat`: the form of /v1/chat/completions; `logprobs`: the client wants log-probabilities. The
  /// tokenizer must outlive the object.
  answer_json(bool chat, bool logprobs, std::string model, const tern::bpe_tokenizer& tokenizer);

  /// A whole answer.
  ordered_json whole(const answer_part& all, tern::finish_reason finish, std::size_t prompt,
                     std::size_t completion);
  /// The first piece of a streamed chat, which says who speaks.
  [[nodiscard]] ordered_json opening() const;
  /// A piece of a streamed answer.
  ordered_json piece(const answer_part& part);
  /// The last piece of a streamed answer.
  [[nodiscard]] ordered_json end(tern::finish_reason finish) const;
  /// What follows the last piece where the client wants the number of tokens.
  [[nodiscard]] ordered_json usage(std::size_t prompt, std::size_t completion) const;

 private:
  [[nodiscard]] ordered_json frame(const char* object) const;
  [[nodiscard]] ordered_json streamed() const;
  /// The list of the one choice that a client gets.
  static ordered_json choices(const ordered_json& content, ordered_json logprobs,
                              ordered_json finish);
  ordered_json logprobs_of(const answer_part& part);
  ordered_json chat_logprobs(const answer_part& part) const;
  ordered_json completion_logprobs(const answer_part& part);
  [[nodiscard]] ordered_json token_json(const scored_token& t) const;

  bool chat_, logprobs_;
  std::string model_, id_;
  std::int64_t created_;
  const tern::bpe_tokenizer& tokenizer_;
  std::size_t offset_ = 0;  ///< characters before the next token, for completions
};

}  // namespace bitdistill::serving
