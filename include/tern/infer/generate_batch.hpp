// Answers to many prompts: several sequences of one session go forward together, and a prompt that
// is waiting takes the place of one that is finished. Every token is the most probable one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/infer/continuous_batch.hpp"
#include "tern/infer/growing_answer.hpp"
#include "tern/infer/session.hpp"

namespace tern::inline TERN_ABI {

/// When answers end.
struct batch_generation_options {
  std::size_t max_tokens = 64;              ///< most tokens of an answer
  std::vector<std::int32_t> stop_tokens{};  ///< each ends an answer and is not part of it
  std::vector<std::int32_t> never{};  ///< tokens that are never chosen; see ids_without_text()
};

/// Answers all prompts and returns the answers in the order of the prompts. `done(n)` is called
/// with the number of finished answers each time that one is finished. An answer also ends where
/// its sequence is full. Throws config_error for an empty prompt, numeric_error if the largest
/// logit is not finite, and as continuous_batch and sampler do.
template <class Model, class F>
std::vector<std::vector<std::int32_t>> generate_batch(
    session<Model>& s, std::span<const std::span<const std::int32_t>> prompts,
    const batch_generation_options& options, F&& done) {
  for (std::size_t i = 0; i < prompts.size(); ++i)
    if (prompts[i].empty())
      throw config_error("generate_batch: prompt " + std::to_string(i) + " is empty");
  const generation_options each{
      .max_tokens = options.max_tokens, .stop_tokens = options.stop_tokens, .never = options.never};
  std::vector<std::vector<std::int32_t>> answers(prompts.size());
  std::vector<std::optional<growing_answer>> growing(s.cache().shape().sequences);
  std::vector<std::size_t> prompt_of(growing.size());
  continuous_batch<Model> batch(s);
  std::size_t waiting = 0, finished = 0;
  const auto finish = [&](std::size_t place) {
    answers[prompt_of[place]] = growing[place]->result().tokens;
    done(++finished);
  };
  const auto choose = [&](std::size_t place,
                          row_view<const float> logits) -> std::optional<std::int32_t> {
    growing_answer& answer = *growing[place];
    answer.take(logits, no_text{});
    if (!answer.ended() && batch.has_room(place)) return answer.last();
    finish(place);
    return {};
  };
  while (finished < prompts.size()) {
    while (!batch.full() && waiting < prompts.size()) {
      const auto prompt = prompts[waiting];
      const std::size_t place = batch.join({prompt.begin(), prompt.end()});
      prompt_of[place] = waiting++;
      growing[place].emplace(prompt, each, s.model().config().vocab_size);
    }
    batch.step(choose);
  }
  return answers;
}

}  // namespace tern::inline TERN_ABI
