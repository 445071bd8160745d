// The sequences that a model is calibrated on: windows of the corpus and examples of the task.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/random.hpp"
#include "tern/model/token_batch.hpp"
#include "tern/recipe/calibration_choice.hpp"
#include "tern/recipe/token_example.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// The numbers 0 ... n - 1 in an order that the random stream draws.
inline std::vector<std::size_t> shuffled(std::size_t n, philox random) {
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  random.shuffle(std::span(order));
  return order;
}

/// Throws config_error where a token is none of the model's, or all are the same.
inline void require_calibration_text(const token_batch& batch, std::size_t vocab_size) {
  for (const std::int32_t token : batch.tokens)
    if (token < 0 || static_cast<std::size_t>(token) >= vocab_size)
      throw config_error("calibration: token " + std::to_string(token) +
                         " is outside of the model's vocabulary of " + std::to_string(vocab_size) +
                         " tokens; the text was encoded by another tokenizer");
  if (std::ranges::all_of(batch.tokens, [&](auto token) { return token == batch.tokens[0]; }))
    throw config_error("calibration: all " + std::to_string(batch.tokens.size()) +
                       " tokens are the same one");
}

}  // namespace detail

/// Windows of the corpus, a stream of tokens, which do not overlap, and examples of the task, both
/// drawn by the seed. Where one of the two is missing the other fills its place. Throws
/// config_error where neither has a whole window or example, a token is none of the vocabulary, or
/// all tokens are the same.
inline token_batch calibration_tokens(std::span<const std::int32_t> stream,
                                      std::span<const token_example> examples,
                                      const calibration_choice& choice, std::size_t vocab_size,
                                      std::uint64_t seed) {
  if (choice.tokens == 0 || choice.length == 0)
    throw config_error("calibration: tokens and length must be positive");
  const std::size_t windows = stream.size() / choice.length;
  if (windows == 0 && examples.empty())
    throw config_error("calibration: the text has " + std::to_string(stream.size()) +
                       " tokens, and a window needs " + std::to_string(choice.length));
  const double share = windows == 0 ? 1 : examples.empty() ? 0 : choice.task_share;
  const auto of_task = static_cast<std::size_t>(share * static_cast<double>(choice.tokens));
  token_batch batch;
  for (const std::size_t i : detail::shuffled(examples.size(), philox(seed, 1))) {
    if (batch.tokens.size() + examples[i].tokens.size() > of_task) break;
    batch.add(examples[i].tokens);
  }
  for (const std::size_t i : detail::shuffled(windows, philox(seed, 2))) {
    if (batch.tokens.size() + choice.length > choice.tokens) break;
    batch.add(stream.subspan(i * choice.length, choice.length));
  }
  if (batch.tokens.empty())
    throw config_error("calibration: " + std::to_string(choice.tokens) +
                       " tokens are too few for one window or example");
  detail::require_calibration_text(batch, vocab_size);
  return batch;
}

}  // namespace tern::inline TERN_ABI
