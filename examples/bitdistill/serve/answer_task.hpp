// The task that generates an answer.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "serve/task.hpp"
#include "tern/infer/growing_answer.hpp"
#include "tern/text/bpe_tokenizer.hpp"

namespace bitdistill::serving {

/// A token with the logarithm of its probability, before temperature and cuts.
struct scored_token {
  std::int32_t token;
  double log_probability;
};

/// A token of an answer with the most probable tokens at its place.
struct token_logprobs {
  scored_token chosen;
  std::vector<scored_token> top;  ///< the most probable tokens, best first
};

/// What was added to an answer.
struct answer_part {
  std::string text;                      ///< whole characters, except at the end of an answer
  std::vector<token_logprobs> logprobs;  ///< tokens whose text begins in the parts so far
};

class answer_task : public task {
 public:
  /// `logprobs`: number of alternatives for each token, or nothing. The tokenizer must outlive the
  /// task. Throws as growing_answer does.
  answer_task(std::vector<std::int32_t> prompt, serving_clock::time_point deadline,
              const tern::generation_options& options, std::size_t vocabulary,
              const tern::bpe_tokenizer& tokenizer, std::optional<std::size_t> logprobs);

  std::optional<std::int32_t> take(tern::row_view<const float> logits, bool room) override;

  /// Waits at most so long for something new, which it moves into `part`. Returns whether the
  /// answer is complete. Throws the refusal with which the task ended.
  bool next(answer_part& part, std::chrono::milliseconds time);

  /// Reason for which a complete answer ended, and number of its tokens. Client's thread, after
  /// next() returned true.
  [[nodiscard]] tern::finish_reason finish() const { return answer_.result().finish; }
  [[nodiscard]] std::size_t tokens() const { return answer_.result().tokens.size(); }

 private:
  void score(tern::row_view<const float> logits, std::int32_t token);

  tern::growing_answer answer_;
  const tern::bpe_tokenizer& tokenizer_;
  std::optional<std::size_t> alternatives_;
  std::vector<token_logprobs> pending_;  ///< tokens of which no text was shown yet
  std::size_t pending_at_ = 0;           ///< bytes of text before the first of them
  std::size_t shown_ = 0;                ///< bytes of text that were shown
  answer_part new_;                      ///< under the task's lock
};

}  // namespace bitdistill::serving
