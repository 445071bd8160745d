// Embeddings of texts: hidden states of their tokens, pooled to one vector for each text.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/is_finite.hpp"
#include "tern/core/tensor.hpp"
#include "tern/grad/tape.hpp"
#include "tern/model/pooling.hpp"
#include "tern/model/token_batch.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// Divides a vector by its L2 norm. Zeros stay zeros. Throws numeric_error where the norm is NaN or
/// infinite.
template <class T>
void divide_by_norm(row_view<T> x) {
  double squares = 0;
  for (std::size_t i = 0; i < x.size; ++i)
    squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  const double norm = std::sqrt(squares);
  if (!is_finite(norm))
    throw numeric_error("pool: a hidden state is not finite, so the text has no embedding");
  if (norm == 0) return;
  for (std::size_t i = 0; i < x.size; ++i) x[i] = static_cast<T>(static_cast<double>(x[i]) / norm);
}

}  // namespace detail

/// Makes one vector for each sequence. hidden: (tokens, D); offsets: ends of the sequences behind a
/// 0, as in token_batch; out: (sequences, D). Sums are taken in double, so a result depends on the
/// tokens of its own sequence alone. Throws shape_error, config_error where a sequence has no
/// token, and numeric_error where a norm is not finite.
template <class T>
void pool(matrix_view<const T> hidden, std::span<const std::size_t> offsets,
          const pooling_rule& rule, matrix_view<T> out) {
  if (offsets.empty() || offsets.back() != hidden.rows)
    throw shape_error("pool: the offsets must begin with 0 and end with the number of tokens, " +
                      std::to_string(hidden.rows));
  require_shape(out, offsets.size() - 1, hidden.cols, "pool: out");
  for (std::size_t s = 0; s + 1 < offsets.size(); ++s) {
    const std::size_t begin = offsets[s], end = offsets[s + 1];
    if (begin >= end) throw config_error("pool: a sequence has no tokens");
    const row_view<T> row = out.row(s);
    if (rule.kind == pooling::mean)
      for (std::size_t c = 0; c < hidden.cols; ++c) {
        double sum = 0;
        for (std::size_t t = begin; t < end; ++t) sum += static_cast<double>(hidden(t, c));
        row[c] = static_cast<T>(sum / static_cast<double>(end - begin));
      }
    else
      for (std::size_t c = 0; c < hidden.cols; ++c)
        row[c] = hidden(rule.kind == pooling::first ? begin : end - 1, c);
    if (rule.normalize) detail::divide_by_norm(row);
  }
}

/// Computes the embeddings of the sequences of a batch: out (sequences, hidden_size). The model may
/// be full-precision, ternary or packed; its head is not used. The embedding of a text is the same
/// to the last bit whatever texts stand beside it. Threads may share a model after one of them has
/// called model.reserve_positions() for the longest text. Throws config_error where a sequence has
/// no tokens or more than the model reads, and what pool() throws.
template <class Model>
void embed(Model& model, const token_batch& batch, const pooling_rule& rule,
           matrix_view<typename Model::scalar> out, executor_ref ex = {}) {
  using T = typename Model::scalar;
  const std::size_t most = model.config().max_position_embeddings;
  require_shape(out, batch.sequences(), model.config().hidden_size, "embed: out");
  std::vector<std::size_t> rows, offsets{0};
  for (std::size_t s = 0; s < batch.sequences(); ++s) {
    const std::size_t begin = batch.offsets[s], end = batch.offsets[s + 1];
    if (begin >= end) throw config_error("embed: a sequence has no tokens");
    if (end - begin > most)
      throw config_error("embed: a sequence has " + std::to_string(end - begin) +
                         " tokens, and the model reads at most " + std::to_string(most) +
                         " (max_position_embeddings)");
    if (rule.kind == pooling::mean) continue;
    rows.push_back(rule.kind == pooling::first ? begin : end - 1);
    offsets.push_back(rows.size());
  }
  if (batch.sequences() == 0) return;
  tape<T> t(ex, false);
  const matrix_view<const T> hidden = model.hidden(t, batch, rows).value;
  pool<T>(hidden, rule.kind == pooling::mean ? std::span(batch.offsets) : std::span(offsets), rule,
          out);
}

}  // namespace tern::inline TERN_ABI
