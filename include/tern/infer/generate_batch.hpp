// Answers to many prompts: several sequences of one session go forward together, and a prompt that
// is waiting takes the place of one that is finished. Every token is the most probable one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tern/core/all_finite.hpp"
#include "tern/core/error.hpp"
#include "tern/infer/session.hpp"

namespace tern::inline TERN_ABI {

/// When answers end.
struct batch_generation_options {
  std::size_t max_tokens = 64;              ///< most tokens of an answer
  std::vector<std::int32_t> stop_tokens{};  ///< each ends an answer and is not part of it
  std::vector<std::int32_t> never{};  ///< tokens that are never chosen; see ids_without_text()
};

namespace detail {

/// What one sequence of a session is doing.
struct answering {
  std::size_t prompt = 0;  ///< index of the prompt that it answers
  std::int32_t next = 0;   ///< token that it takes in next
  bool busy = false;       ///< whether its answer is not finished
};

/// Chooses the most probable token that is allowed, and the lowest of equal ones.
class most_probable {
 public:
  /// Throws config_error if one of the tokens is not in the vocabulary.
  most_probable(std::size_t vocabulary, std::span<const std::int32_t> never)
      : excluded_(vocabulary) {
    for (const std::int32_t token : never) {
      if (token < 0 || static_cast<std::size_t>(token) >= vocabulary)
        throw config_error("generate_batch: token " + std::to_string(token) +
                           " is not in the vocabulary");
      excluded_[static_cast<std::size_t>(token)] = true;
    }
  }
  /// Throws numeric_error if the largest logit is not finite.
  std::int32_t operator()(row_view<const float> logits) const {
    std::size_t best = logits.size;
    for (std::size_t i = 0; i < logits.size; ++i)
      if (!excluded_[i] && (best == logits.size || logits[i] > logits[best])) best = i;
    if (best == logits.size) return 0;
    if (!is_finite(logits[best]))
      throw numeric_error("generate_batch: the largest logit is not finite");
    return static_cast<std::int32_t>(best);
  }

 private:
  std::vector<bool> excluded_;
};

}  // namespace detail

/// Answers all prompts and returns the answers in the order of the prompts. `done(n)` is called
/// with the number of finished answers each time that one is finished. An answer also ends where
/// its sequence is full. Throws config_error for an empty prompt, numeric_error if the largest
/// logit is not finite, and as session::append does.
template <class Model, class F>
std::vector<std::vector<std::int32_t>> generate_batch(
    session<Model>& s, std::span<const std::span<const std::int32_t>> prompts,
    const batch_generation_options& options, F&& done) {
  for (std::size_t i = 0; i < prompts.size(); ++i)
    if (prompts[i].empty())
      throw config_error("generate_batch: prompt " + std::to_string(i) + " is empty");
  std::vector<std::vector<std::int32_t>> answers(prompts.size());
  std::vector<detail::answering> places(s.cache().shape().sequences);
  const detail::most_probable choose(s.model().config().vocab_size, options.never);
  std::size_t waiting = 0, finished = 0;
  const auto take = [&](detail::answering& place, std::size_t sequence, std::int32_t token) {
    auto& answer = answers[place.prompt];
    const bool stop = std::ranges::count(options.stop_tokens, token) != 0;
    if (!stop && options.max_tokens > 0) answer.push_back(token);
    place.next = token;
    place.busy = !stop && answer.size() < options.max_tokens &&
                 s.length(sequence) < s.cache().shape().capacity;
    if (!place.busy) done(++finished);
  };
  std::vector<sequence_tokens> parts;
  while (finished < prompts.size()) {
    for (std::size_t i = 0; i < places.size(); ++i)
      while (!places[i].busy && waiting < prompts.size()) {
        places[i].prompt = waiting++;
        s.truncate(i, 0);
        take(places[i], i, choose(s.append(prompts[places[i].prompt], i)));
      }
    parts.clear();
    for (std::size_t i = 0; i < places.size(); ++i)
      if (places[i].busy) parts.push_back({i, {&places[i].next, 1}});
    if (parts.empty()) continue;
    const matrix_view<const float> logits = s.append(parts);
    for (std::size_t j = 0; j < parts.size(); ++j)
      take(places[parts[j].sequence], parts[j].sequence, choose(logits.row(j)));
  }
  return answers;
}

}  // namespace tern::inline TERN_ABI
