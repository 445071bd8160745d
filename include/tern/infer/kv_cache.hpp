// Keys and values of past tokens, so that a new token needs one pass over the model for itself
// only. The memory is reserved once, and the system gives a page of it when a position is first
// stored there. Elements are F32, F16, or INT8 with one scale for each row of
// a head. A layer with a sliding window keeps a ring of the positions that can still be seen.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/tensor.hpp"
#include "tern/core/zeroed_array.hpp"
#include "tern/quant/absmax_int8.hpp"
#include "tern/quant/half_rows.hpp"

namespace tern::inline TERN_ABI {

/// Element type of keys and values. int8 has one float scale for each row of a head.
enum class kv_storage { f32, f16, int8 };

/// Sizes of a cache.
struct kv_shape {
  std::size_t layers = 0, kv_heads = 0, head_dim = 0;  ///< sizes of the model
  std::size_t sequences = 1;                           ///< independent sequences, numbered from 0
  std::size_t capacity = 0;                            ///< positions that each can hold
  std::size_t chunk = 512;                             ///< most tokens of one append()
  /// For each layer the number of positions that a token sees, its own included. 0 or a missing
  /// entry means all positions up to its own.
  std::vector<std::size_t> windows;

  /// Number of positions that a token of the layer sees, or 0 for all.
  [[nodiscard]] std::size_t window(std::size_t layer) const {
    return layer < windows.size() ? windows[layer] : 0;
  }
};

/// Dense rows of a head as a cache stores them. E is float, std::uint16_t for F16, or std::int8_t
/// with one scale for each row.
template <class E>
struct stored_rows {
  const E* data;           ///< rows, one after another
  std::size_t rows, cols;  ///< number of positions, and head_dim
  const float* scales;     ///< one for each row, or null if all are 1
};

class kv_cache {
 public:
  /// Allocates the memory for all sequences. Throws config_error if a size is 0.
  explicit kv_cache(const kv_shape& shape, kv_storage storage = kv_storage::f16)
      : shape_(shape), storage_(storage), lengths_(shape.sequences) {
    for (const std::size_t n : {shape.layers, shape.kv_heads, shape.head_dim, shape.sequences,
                                shape.capacity, shape.chunk})
      if (n == 0) throw config_error("kv_cache: every size must be positive");
    for (std::size_t l = 0; l < shape.layers; ++l) {
      const std::size_t window = shape.window(l);
      const std::size_t slots =
          window == 0 ? shape.capacity : std::min(shape.capacity, window + shape.chunk);
      const std::size_t rows = 2 * shape.sequences * shape.kv_heads * slots;
      layers_.push_back({slots, zeroed_array<std::byte>(rows * row_bytes()),
                         zeroed_array<float>(storage == kv_storage::int8 ? rows : 0)});
    }
  }

  /// The sizes that the constructor got.
  [[nodiscard]] const kv_shape& shape() const { return shape_; }
  /// Number of positions that the sequence has. Throws config_error if there is no such sequence.
  [[nodiscard]] std::size_t length(std::size_t sequence) const {
    if (sequence >= shape_.sequences)
      throw config_error("kv_cache: sequence " + std::to_string(sequence) + " of " +
                         std::to_string(shape_.sequences));
    return lengths_[sequence];
  }
  /// Bytes that keys, values and scales take.
  [[nodiscard]] std::size_t size_bytes() const {
    std::size_t total = 0;
    for (const layer& l : layers_) total += l.data.size() + l.scales.size() * sizeof(float);
    return total;
  }

  /// Bytes of keys, values and scales that one new token reads in all layers, where `positions` are
  /// in its sequence, its own included.
  [[nodiscard]] std::size_t bytes_read(std::size_t positions) const {
    std::size_t rows = 0;
    for (std::size_t l = 0; l < shape_.layers; ++l) {
      const std::size_t window = shape_.window(l);
      rows += 2 * shape_.kv_heads * (window == 0 ? positions : std::min(window, positions));
    }
    return rows * (row_bytes() + (storage_ == kv_storage::int8 ? sizeof(float) : 0));
  }

  /// Throws config_error unless n more positions can be appended to the sequence at once.
  void require_room(std::size_t sequence, std::size_t n) const {
    const std::size_t now = this->length(sequence);
    if (n > shape_.chunk || now + n > shape_.capacity)
      throw config_error("kv_cache: no room for " + std::to_string(n) + " tokens after " +
                         std::to_string(now) + " (capacity " + std::to_string(shape_.capacity) +
                         ", " + std::to_string(shape_.chunk) + " at a time)");
  }

  /// Stores the keys (after RoPE) and values of the n positions that follow the sequence's length.
  /// k, v: (n, kv_heads * head_dim). Call it once for every layer, then call advance(). Throws like
  /// require_room(), and shape_error.
  void append(std::size_t layer_index, std::size_t sequence, matrix_view<const float> k,
              matrix_view<const float> v) {
    require_room(sequence, k.rows);
    require_shape(k, k.rows, shape_.kv_heads * shape_.head_dim, "kv_cache: k");
    require_shape(v, k.rows, k.cols, "kv_cache: v");
    if (layer_index >= layers_.size())
      throw config_error("kv_cache: no layer " + std::to_string(layer_index));
    layer& l = layers_[layer_index];
    for (std::size_t i = 0; i < k.rows; ++i)
      for (std::size_t h = 0; h < shape_.kv_heads; ++h) {
        const std::size_t at = index(l, sequence, h, lengths_[sequence] + i);
        store(l, at, k.row(i).data + h * shape_.head_dim);
        store(l, at + l.slots, v.row(i).data + h * shape_.head_dim);
      }
  }
  /// Makes the sequence n positions longer, after append() has stored them for every layer. Throws
  /// like require_room().
  void advance(std::size_t sequence, std::size_t n) {
    require_room(sequence, n);
    lengths_[sequence] += n;
  }

  /// Goes back to an earlier length; 0 starts a new sequence. Throws config_error if a layer's ring
  /// has already overwritten positions that the last token of that length sees.
  void truncate(std::size_t sequence, std::size_t length) {
    const std::size_t now = this->length(sequence);
    for (std::size_t i = 0; i < layers_.size() && length > 0; ++i) {
      const std::size_t slots = layers_[i].slots, window = shape_.window(i);
      if (length > now || (now > slots && length + slots < now + std::min(window, length)))
        throw config_error("kv_cache: cannot go from length " + std::to_string(now) + " to " +
                           std::to_string(length));
    }
    lengths_[sequence] = length;
  }

  /// Calls f(at, keys, values) with stored_rows<E> of a head for the positions first + at and
  /// following, in order, until it got all of [first, first + n). There is one call, or two if the
  /// positions wrap around the end of a ring. Positions beyond length() are allowed if they have
  /// been appended.
  template <class F>
  void visit(std::size_t layer_index, std::size_t sequence, std::size_t head, std::size_t first,
             std::size_t n, F&& f) const {
    const layer& l = layers_[layer_index];
    for (std::size_t at = 0; at < n;) {
      const std::size_t row = index(l, sequence, head, first + at),
                        piece = std::min(n - at, l.slots - (first + at) % l.slots);
      const std::byte *const keys = l.data.data() + row * row_bytes(), *const values =
                                                                           keys +
                                                                           l.slots * row_bytes();
      const auto pass = [&]<class E>(E, const float* scales) {
        const auto rows = [&](const std::byte* data, const float* of_rows) {
          return stored_rows<E>{reinterpret_cast<const E*>(data), piece, shape_.head_dim, of_rows};
        };
        f(at, rows(keys, scales), rows(values, scales == nullptr ? nullptr : scales + l.slots));
      };
      if (storage_ == kv_storage::f32)
        pass(float{}, nullptr);
      else if (storage_ == kv_storage::f16)
        pass(std::uint16_t{}, nullptr);
      else
        pass(std::int8_t{}, l.scales.data() + row);
      at += piece;
    }
  }

 private:
  /// Rows of head_dim elements: for each sequence and head first the keys of all slots, then the
  /// values. A position p is in slot p % slots.
  struct layer {
    std::size_t slots;
    zeroed_array<std::byte> data;
    zeroed_array<float> scales;
  };

  [[nodiscard]] std::size_t row_bytes() const {
    const std::size_t element = storage_ == kv_storage::f32   ? 4
                                : storage_ == kv_storage::f16 ? 2
                                                              : 1;
    return shape_.head_dim * element;
  }

  [[nodiscard]] std::size_t index(const layer& l, std::size_t sequence, std::size_t head,
                                  std::size_t position) const {
    return (sequence * shape_.kv_heads + head) * 2 * l.slots + position % l.slots;
  }

  void store(layer& l, std::size_t row, const float* from) {
    std::byte* const to = l.data.data() + row * row_bytes();
    const std::size_t d = shape_.head_dim;
    if (storage_ == kv_storage::f32) {
      std::memcpy(to, from, row_bytes());
    } else if (storage_ == kv_storage::f16) {
      to_f16(from, reinterpret_cast<std::uint16_t*>(to), d);
    } else {
      std::int32_t ignored = 0;
      absmax_int8{}.quantize<float>({from, 1, d}, {reinterpret_cast<std::int8_t*>(to), 1, d},
                                    {&l.scales[row], 1}, {&ignored, 1});
    }
  }

  kv_shape shape_;
  kv_storage storage_;
  std::vector<std::size_t> lengths_;
  std::vector<layer> layers_;
};

}  // namespace tern::inline TERN_ABI
