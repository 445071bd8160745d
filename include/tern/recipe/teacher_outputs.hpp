// What a teacher says about a micro-batch: activations of its layers, and logits. Where a stage
// sees examples again, a cache keeps what the teacher said about each, so that it need not run
// twice. The numbers are the same bits with and without a cache.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "tern/core/tensor.hpp"
#include "tern/grad/tape.hpp"
#include "tern/io/record_cache.hpp"
#include "tern/linalg/gemm.hpp"
#include "tern/nn/graph/gather_rows.hpp"
#include "tern/nn/taps.hpp"
#include "tern/recipe/micro_batches.hpp"

namespace tern::inline TERN_ABI {

/// Runs a teacher, or reads what it said before.
template <class Model>
class teacher_outputs {
 public:
  using T = typename Model::scalar;  ///< type of an element

  /// The model must outlive this object. wanted: activations that are asked for; logits: whether
  /// logits are, too. vocabulary: number of logits of a token. Where the model has more ids, the
  /// last ones are left out; where it has fewer, the others have probability 0.
  teacher_outputs(Model& model, taps<T> wanted, bool logits, std::size_t vocabulary,
                  executor_ref ex = {})
      : model_(model),
        taps_(wanted),
        missing_taps_(std::move(wanted)),
        logits_(logits),
        vocabulary_(vocabulary),
        ex_(ex) {}

  /// Bytes that a cache needs for an example of so many tokens.
  [[nodiscard]] std::size_t record_size(std::size_t tokens) const {
    std::size_t width = logits_ ? model_.config().hidden_size : 0;
    taps_.for_each(
        [&](const tap& key, const variable<T>&) { width += model_.width_of(key.point); });
    return tokens * width * sizeof(T);
  }
  /// From here on examples are looked up in the cache. Its records are numbered like the examples
  /// and have record_size() bytes.
  void keep_in(record_cache cache) { cache_.emplace(std::move(cache)); }

  /// The activations of the last micro-batch.
  [[nodiscard]] const taps<T>& activations() const { return taps_; }

  /// The most bytes that the model's activations have taken.
  [[nodiscard]] std::size_t peak_bytes() { return tape_ ? tape_->memory().peak() : 0; }

  /// Finds what the teacher says about a micro-batch, with products of this precision. Returns
  /// logits (rows of the batch, vocabulary), or null where they are not wanted.
  matrix_view<const T> ask(const micro_batch& batch, precision products) {
    if (!tape_ || tape_->products() != products) tape_.emplace(ex_, false, products);
    tape_->reset();
    return cache_ && !batch.examples.empty() ? from_cache(batch) : from_model(batch);
  }

 private:
  matrix_view<const T> from_model(const micro_batch& batch) {
    const auto h = model_.hidden(*tape_, batch.tokens, batch.rows, &taps_);
    return logits_ ? logits_of(h.value) : matrix_view<const T>{};
  }

  matrix_view<const T> logits_of(matrix_view<const T> states) {
    const std::size_t common = std::min(vocabulary_, model_.config().vocab_size);
    const matrix_view<const T> table = model_.head().view().row_block(0, common);
    const matrix_view<T> logits = tape_->memory().template matrix<T>(states.rows, vocabulary_);
    gemm<T>(T(1), states, table.transposed(), logits.col_block(0, common), false, ex_,
            tape_->products());
    constexpr T impossible = T(-1e30);  // its exponential is 0, and it is still finite
    for (std::size_t r = 0; r < logits.rows; ++r)
      for (std::size_t c = common; c < vocabulary_; ++c) logits(r, c) = impossible;
    return logits;
  }

  matrix_view<const T> from_cache(const micro_batch& batch) {
    const token_batch& all = batch.tokens;
    taps_.reserve(*tape_, all.tokens.size(), [&](tap_point p) { return model_.width_of(p); });
    const variable<T> states =
        tape_->make(logits_ ? all.tokens.size() : 0, model_.config().hidden_size);
    missing_.clear();
    std::vector<std::size_t> missing;  // sequences
    for (std::size_t s = 0; s < all.sequences(); ++s) {
      const std::size_t begin = all.offsets[s], n = all.offsets[s + 1] - begin;
      record_.resize(record_size(n) / sizeof(T));
      if (cache_->read_record(batch.examples[s], std::as_writable_bytes(std::span(record_)))) {
        exchange(taps_, states.value, begin, n,
                 [](T* part, T* rows, std::size_t size) { std::copy_n(part, size, rows); });
      } else {
        missing_.add(std::span(all.tokens).subspan(begin, n));
        missing.push_back(s);
      }
    }
    if (!missing.empty()) run_missing(batch, missing, states.value);
    if (!logits_) return {};
    return logits_of(batch.rows.empty() ? states.value
                                        : graph::gather_rows(*tape_, states, batch.rows).value);
  }

  /// Runs the model on the sequences that the cache does not have, and stores what it says.
  void run_missing(const micro_batch& batch, const std::vector<std::size_t>& sequences,
                   matrix_view<T> states) {
    const variable<T> h = model_.hidden(*tape_, missing_, {}, &missing_taps_);
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      const std::size_t from = missing_.offsets[i], n = missing_.offsets[i + 1] - from;
      record_.resize(record_size(n) / sizeof(T));
      exchange(missing_taps_, h.value, from, n,
               [](T* part, T* rows, std::size_t size) { std::copy_n(rows, size, part); });
      exchange(taps_, states, batch.tokens.offsets[sequences[i]], n,
               [](T* part, T* rows, std::size_t size) { std::copy_n(part, size, rows); });
      cache_->store_record(batch.examples[sequences[i]], std::as_bytes(std::span(record_)));
    }
  }

  /// Calls move(part of the record, rows of a matrix, size) for every activation, and for the last
  /// states where logits are wanted.
  template <class Move>
  void exchange(const taps<T>& activations, matrix_view<T> states, std::size_t first, std::size_t n,
                Move&& move) {
    T* part = record_.data();
    const auto rows_of = [&](matrix_view<T> m) {
      move(part, m.row(first).data, n * m.cols);
      part += n * m.cols;
    };
    activations.for_each([&](const tap&, const variable<T>& v) { rows_of(v.value); });
    if (logits_) rows_of(states);
  }

  Model& model_;
  taps<T> taps_, missing_taps_;
  bool logits_;
  std::size_t vocabulary_;
  executor_ref ex_;
  std::optional<tape<T>> tape_;
  std::optional<record_cache> cache_;
  token_batch missing_;
  std::vector<T> record_;
};

}  // namespace tern::inline TERN_ABI
