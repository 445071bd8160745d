#include "serve/answer_task.hpp"

#include <algorithm>
#include <utility>

#include "tern/nn/softmax.hpp"

namespace bitdistill::serving {

answer_task::answer_task(std::vector<std::int32_t> prompt, serving_clock::time_point deadline,
                         const tern::generation_options& options, std::size_t vocabulary,
                         const tern::bpe_tokenizer& tokenizer, std::optional<std::size_t> logprobs)
    : task(std::move(prompt), deadline),
      answer_(task::prompt(), options, vocabulary),
      tokenizer_(tokenizer),
      alternatives_(logprobs) {}

std::optional<std::int32_t> answer_task::take(tern::row_view<const float> logits, bool room) {
  const std::size_t before = answer_.result().tokens.size();
  std::string text(answer_.take(logits, tokenizer_));
  if (answer_.result().tokens.size() != before && alternatives_) score(logits, answer_.last());
  if (!room && !answer_.ended()) answer_.end(tern::finish_reason::length);
  const bool ended = answer_.ended();
  if (ended) text += answer_.rest();
  shown_ += text.size();
  const bool all = ended && answer_.result().finish != tern::finish_reason::stop_string;
  std::vector<token_logprobs> scores;
  std::size_t n = 0;
  for (; n < pending_.size() && (all || pending_at_ < shown_); ++n) {
    pending_at_ += tokenizer_.token_text(pending_[n].chosen.token).size();
    scores.push_back(std::move(pending_[n]));
  }
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(n));
  update(
      [&] {
        new_.text += text;
        std::ranges::move(scores, std::back_inserter(new_.logprobs));
      },
      ended);
  return ended ? std::nullopt : std::optional(answer_.last());
}

bool answer_task::next(answer_part& part, std::chrono::milliseconds time) {
  return wait(
      time, [&] { return !new_.text.empty() || !new_.logprobs.empty(); },
      [&] { part = std::exchange(new_, {}); });
}

void answer_task::score(tern::row_view<const float> logits, std::int32_t token) {
  const double all = static_cast<double>(tern::log_sum_exp(logits));
  const auto scored = [&](std::int32_t t) {
    return scored_token{t, static_cast<double>(logits[static_cast<std::size_t>(t)]) - all};
  };
  token_logprobs scores{scored(token), {}};
  const auto better = [](const scored_token& a, const scored_token& b) {
    return a.log_probability > b.log_probability;
  };
  for (std::size_t i = 0; i<logits.size&& * alternatives_> 0; ++i) {
    const scored_token one = scored(static_cast<std::int32_t>(i));
    if (scores.top.size() == *alternatives_ && !better(one, scores.top.back())) continue;
    if (scores.top.size() == *alternatives_) scores.top.pop_back();
    scores.top.insert(std::ranges::upper_bound(scores.top, one, better), one);
  }
  pending_.push_back(std::move(scores));
}

}  // namespace bitdistill::serving
