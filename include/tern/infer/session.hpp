// Inference on sequences of tokens that grow. Each new token costs one pass over the weights, since
// a kv_cache keeps the keys and values of earlier tokens.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/infer/cached_attention.hpp"
#include "tern/infer/kv_cache.hpp"
#include "tern/model/decoder.hpp"

namespace tern::inline TERN_ABI {

/// Sizes of a session and its cache.
struct session_options {
  std::size_t sequences = 1;             ///< independent sequences, numbered from 0
  std::size_t capacity = 2048;           ///< positions of each, at most max_position_embeddings
  std::size_t chunk = 512;               ///< most tokens of one pass; longer prompts take several
  kv_storage storage = kv_storage::f16;  ///< element type of keys and values
  /// No other thread uses the model. Angles of RoPE are then computed when a position needs them,
  /// rather than all at once, so that a large capacity takes no memory that is not used.
  bool alone = false;
};

/// Tokens to be appended to a sequence.
struct sequence_tokens {
  std::size_t sequence = 0;              ///< number of the sequence, from 0 on
  std::span<const std::int32_t> tokens;  ///< at least one token
};

/// A session uses a model, which must outlive it and must not change. Several sessions may share a
/// model and be used by different threads, after all of them have been constructed.
template <class Model = decoder<>>
class session {
 public:
  /// Allocates the cache. Throws config_error if a size is 0.
  explicit session(Model& model, const session_options& options = {}, executor_ref ex = {})
      : model_(model),
        cache_(shape_of(model.config(), options), options.storage),
        tape_(ex, false) {
    if (!options.alone) model.reserve_positions(cache_.shape().capacity);
  }

  [[nodiscard]] Model& model() { return model_; }                 ///< the model it uses
  [[nodiscard]] const kv_cache& cache() const { return cache_; }  ///< cache of all sequences
  /// The cache, for keys and values that do not come from this session, for example stored ones.
  [[nodiscard]] kv_cache& cache() { return cache_; }
  /// Number of tokens that the sequence has. Throws config_error if there is no such sequence.
  [[nodiscard]] std::size_t length(std::size_t sequence = 0) const {
    return cache_.length(sequence);
  }
  /// Goes back to an earlier length; 0 starts a new sequence. Throws like kv_cache::truncate().
  void truncate(std::size_t sequence, std::size_t length) { cache_.truncate(sequence, length); }

  /// Appends tokens and returns the vocab_size logits of the token that follows them, valid until
  /// the next call. Throws config_error if there are no tokens, if they do not fit into the cache
  /// or if one is not in the vocabulary; the sequence then ends before the chunk with the error.
  row_view<const float> append(std::span<const std::int32_t> tokens, std::size_t sequence = 0) {
    if (tokens.empty()) throw config_error("session: no tokens to append");
    if (length(sequence) + tokens.size() > cache_.shape().capacity)
      throw config_error("session: " + std::to_string(tokens.size()) + " tokens after " +
                         std::to_string(length(sequence)) + " exceed the capacity of " +
                         std::to_string(cache_.shape().capacity));
    const std::size_t chunk = cache_.shape().chunk;
    for (; tokens.size() > chunk; tokens = tokens.subspan(chunk)) {
      const sequence_tokens part{sequence, tokens.first(chunk)};
      pass({&part, 1});
    }
    const sequence_tokens part{sequence, tokens};
    return append({&part, 1}).row(0);
  }

  /// Appends tokens to several sequences, each at most once, in one pass. Returns the logits
  /// (parts, vocab_size).
  matrix_view<const float> append(std::span<const sequence_tokens> parts) {
    const variable<float> last = pass(parts);
    return model_.logits(tape_, last).value;
  }

 private:
  static kv_shape shape_of(const model_config& c, const session_options& o) {
    kv_shape s{c.num_hidden_layers,
               c.num_key_value_heads,
               c.head_dim,
               o.sequences,
               std::min(o.capacity, c.max_position_embeddings),
               0,
               {}};
    s.chunk = std::min(o.chunk, s.capacity);
    for (std::size_t i = 0; i < c.num_hidden_layers; ++i)
      s.windows.push_back(c.sliding(i) ? c.sliding_window : 0);
    return s;
  }

  /// Makes one pass and returns the final hidden states of the last token of each part.
  variable<float> pass(std::span<const sequence_tokens> parts) {
    batch_.clear();
    rows_.clear();
    parts_.clear();
    for (const sequence_tokens& p : parts) {
      cache_.require_room(p.sequence, p.tokens.size());
      if (p.tokens.empty()) throw config_error("session: no tokens to append");
      for (const cached_rows& other : parts_)
        if (other.sequence == p.sequence)
          throw config_error("session: a sequence comes twice in one pass");
      parts_.push_back({p.sequence, batch_.tokens.size(), p.tokens.size()});
      batch_.add(p.tokens, cache_.length(p.sequence));
      rows_.push_back(batch_.tokens.size() - 1);
    }
    tape_.reset();
    const variable<float> last =
        model_.forward(tape_, batch_, rows_,
                       [&](std::size_t layer, variable<float> q, variable<float> k,
                           variable<float> v, const attention_shape& shape) {
                         for (const cached_rows& p : parts_)
                           cache_.append(layer, p.sequence, k.value.row_block(p.row, p.rows),
                                         v.value.row_block(p.row, p.rows));
                         const variable<float> y = tape_.make(q.rows(), q.cols());
                         cached_attention::forward(q.value, cache_, layer, parts_, shape, y.value,
                                                   tape_.memory(), tape_.executor());
                         return y;
                       });
    for (const cached_rows& p : parts_) cache_.advance(p.sequence, p.rows);
    return last;
  }

  Model& model_;
  kv_cache cache_;
  tape<float> tape_;
  token_batch batch_;
  std::vector<std::size_t> rows_;
  std::vector<cached_rows> parts_;
};

}  // namespace tern::inline TERN_ABI
