// How far a model's predictions are from those of another one, for example of the model that it was
// made from.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "tern/core/all_finite.hpp"
#include "tern/core/error.hpp"
#include "tern/core/executor.hpp"
#include "tern/grad/tape.hpp"
#include "tern/model/token_batch.hpp"
#include "tern/nn/softmax.hpp"

namespace tern::inline TERN_ABI {

/// Means over the tokens that are predicted.
struct model_comparison {
  double reference_perplexity = 0;  ///< exp of the mean of -log p(token) of the reference
  double perplexity = 0;            ///< the same of the model
  double divergence = 0;            ///< mean of KL(reference || model), in nats
  double agreement = 0;             ///< fraction of tokens where both have the same favourite
  std::size_t tokens = 0;           ///< number of predicted tokens
};

namespace detail {

/// Adds what one token says; p and q are the logits of the reference and of the model.
template <class T>
void add_comparison(row_view<const T> p, row_view<const T> q, std::size_t target,
                    model_comparison& sum) {
  const auto log_p = static_cast<double>(log_sum_exp(p)),
             log_q = static_cast<double>(log_sum_exp(q));
  std::size_t best_p = 0, best_q = 0;
  double divergence = 0;
  for (std::size_t i = 0; i < p.size; ++i) {
    if (p[i] > p[best_p]) best_p = i;
    if (q[i] > q[best_q]) best_q = i;
    const double a = static_cast<double>(p[i]) - log_p, b = static_cast<double>(q[i]) - log_q;
    divergence += std::exp(a) * (a - b);
  }
  sum.reference_perplexity += log_p - static_cast<double>(p[target]);
  sum.perplexity += log_q - static_cast<double>(q[target]);
  sum.divergence += divergence;
  sum.agreement += best_p == best_q ? 1 : 0;
  ++sum.tokens;
}

}  // namespace detail

/// Compares a model with a reference that has the same vocabulary on the sequences of a batch. The
/// tokens from `predicted_from[s]` on of sequence s are predicted, which is at least 1; where the
/// span is empty, all but the first one of each sequence. Throws config_error where the
/// vocabularies differ, the span has another size, or nothing is predicted, and numeric_error where
/// a probability is NaN or infinite.
template <class Reference, class Model>
model_comparison compare_models(Reference& reference, Model& model, const token_batch& batch,
                                executor_ref ex = {},
                                std::span<const std::size_t> predicted_from = {}) {
  using T = typename Model::scalar;
  if (!predicted_from.empty() && predicted_from.size() != batch.sequences())
    throw config_error("compare_models: there are " + std::to_string(batch.sequences()) +
                       " sequences and " + std::to_string(predicted_from.size()) +
                       " first predicted tokens");
  if (reference.config().vocab_size != model.config().vocab_size)
    throw config_error("compare_models: the models have vocabularies of different sizes");
  constexpr std::size_t block = 64;  // rows of logits that exist at a time
  tape<T> t(ex, false);
  model_comparison sum;
  for (std::size_t s = 0; s < batch.sequences(); ++s) {
    const std::size_t first = batch.offsets[s], last = batch.offsets[s + 1];
    token_batch one;
    one.add(std::span(batch.tokens).subspan(first, last - first));
    t.reset();
    const matrix_view<T> f = reference.hidden(t, one).value, x = model.hidden(t, one).value;
    const std::size_t from =
        predicted_from.empty() ? 1 : std::max<std::size_t>(1, predicted_from[s]);
    for (std::size_t r = from - 1; r + 1 < f.rows; r += block) {
      const arena_scope temporaries(t.memory());
      const std::size_t n = std::min(block, f.rows - 1 - r);
      const matrix_view<T> p = reference.logits(t, {f.row_block(r, n), {}}).value,
                           q = model.logits(t, {x.row_block(r, n), {}}).value;
      for (std::size_t i = 0; i < n; ++i)
        detail::add_comparison<T>(p.row(i), q.row(i),
                                  static_cast<std::size_t>(one.tokens[r + i + 1]), sum);
    }
  }
  if (sum.tokens == 0) throw config_error("compare_models: no token is predicted");
  for (const double each : {sum.reference_perplexity, sum.perplexity, sum.divergence})
    if (!is_finite(each)) throw numeric_error("compare_models: a probability is not finite");
  const auto n = static_cast<double>(sum.tokens);
  return {std::exp(sum.reference_perplexity / n), std::exp(sum.perplexity / n), sum.divergence / n,
          sum.agreement / n, sum.tokens};
}

}  // namespace tern::inline TERN_ABI
