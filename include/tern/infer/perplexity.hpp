// The perplexity of a text, which measures how well a model predicts its tokens.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tern/core/all_finite.hpp"
#include "tern/core/error.hpp"
#include "tern/model/decoder.hpp"
#include "tern/nn/softmax.hpp"

namespace tern::inline TERN_ABI {

/// The result of perplexity().
struct perplexity_result {
  double perplexity = 0;   ///< exp of the mean of -log p(token)
  std::size_t tokens = 0;  ///< number of predicted tokens
};

/// Computes the perplexity of a text. The text is cut into windows of `length` tokens, and the
/// first token of a window is given, not predicted. Throws config_error if `length` or the text is
/// below two tokens or if `length` is above the number of positions of the model, and numeric_error
/// if a probability is NaN or infinite.
template <class Model>
perplexity_result perplexity(Model& model, std::span<const std::int32_t> text,
                             std::size_t length = 512, executor_ref ex = {}) {
  using T = typename Model::scalar;
  if (length < 2 || length > model.config().max_position_embeddings)
    throw config_error("perplexity: windows of " + std::to_string(length) +
                       " tokens, expected 2 to " +
                       std::to_string(model.config().max_position_embeddings));
  if (text.size() < 2) throw config_error("perplexity: the text has fewer than two tokens");
  constexpr std::size_t rows = 64;  // number of rows of logits that exist at a time
  tape<T> t(ex, false);
  double sum = 0;
  perplexity_result result;
  for (std::size_t at = 0; at + 1 < text.size(); at += length) {
    token_batch batch;
    batch.add(text.subspan(at, std::min(length, text.size() - at)));
    t.reset();
    const matrix_view<T> h = model.hidden(t, batch).value;
    const std::size_t predicted = h.rows - 1;
    for (std::size_t r = 0; r < predicted; r += rows) {
      const arena_scope temporaries(t.memory());
      const std::size_t n = std::min(rows, predicted - r);
      const matrix_view<T> logits = model.logits(t, {h.row_block(r, n), {}}).value;
      for (std::size_t i = 0; i < n; ++i) {
        const auto target = static_cast<std::size_t>(batch.tokens[r + i + 1]);
        const T own = logits(i, target);
        T total;
        const T top = exponentials<T>(logits.row(i), total);
        sum += static_cast<double>(top + std::log(total)) - static_cast<double>(own);
      }
    }
    result.tokens += predicted;
  }
  result.perplexity = std::exp(sum / static_cast<double>(result.tokens));
  if (!is_finite(result.perplexity))
    throw numeric_error(
        "perplexity: a probability is not finite, so the model computes no answer; a "
        "weight may be broken or too large for its type");
  return result;
}

}  // namespace tern::inline TERN_ABI
