// Accuracy of a classification task read as the next token after a prompt, with its speed.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tern/recipe/stages.hpp"

namespace tern::inline TERN_ABI {

/// What a model answered.
struct evaluation {
  double accuracy = 0;                    ///< percent
  double tokens_per_second = 0;           ///< prompts read, wall clock
  std::vector<std::int32_t> predictions;  ///< class of each example
};

/// Class with the largest logit among the label tokens, for every example.
template <class Model>
evaluation evaluate(Model& model, std::span<const task_example> examples,
                    std::span<const std::int32_t> label_tokens, std::size_t sequences = 64,
                    executor_ref ex = {}) {
  using T = typename Model::scalar;
  if (examples.empty()) throw config_error("evaluate: no examples");
  tape<T> t(ex, false);
  const std::size_t width = model.config().hidden_size;
  std::vector<T> weights(label_tokens.size() * width);
  const matrix_view<const T> labels(weights.data(), label_tokens.size(), width);
  for (std::size_t c = 0; c < label_tokens.size(); ++c)
    model.head_row(static_cast<std::size_t>(label_tokens[c]), {&weights[c * width], width});
  evaluation result;
  std::size_t right = 0, tokens = 0;
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t begin = 0; begin < examples.size(); begin += sequences) {
    const auto chunk = examples.subspan(begin, std::min(sequences, examples.size() - begin));
    token_batch batch;
    std::vector<std::size_t> rows;
    for (const task_example& example : chunk) {
      batch.add(example.tokens);
      rows.push_back(batch.tokens.size() - 1);
    }
    t.reset();
    const matrix_view<T> h = model.hidden(t, batch, rows).value;
    for (std::size_t i = 0; i < chunk.size(); ++i) {
      const auto logit = [&](std::size_t label) { return simd::dot(h.row(i), labels.row(label)); };
      std::size_t best = 0;
      for (std::size_t c = 1; c < label_tokens.size(); ++c)
        if (logit(c) > logit(best)) best = c;
      result.predictions.push_back(static_cast<std::int32_t>(best));
      right += result.predictions.back() == chunk[i].label;
    }
    tokens += batch.tokens.size();
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.accuracy = 100.0 * static_cast<double>(right) / static_cast<double>(examples.size());
  result.tokens_per_second = static_cast<double>(tokens) / seconds;
  return result;
}

}  // namespace tern::inline TERN_ABI
