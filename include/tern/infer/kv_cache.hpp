// Keys and values of past tokens, so that a new token costs one pass: preallocated, as F32, F16 or
// INT8 with a scale to each row of a head. Layers with a sliding window keep a ring of what they
// can still see.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/tensor.hpp"
#include "tern/quant/absmax_int8.hpp"
#include "tern/quant/half_rows.hpp"

namespace tern::inline TERN_ABI {

/// Of a key or value; int8 has a float scale to each row of a head.
enum class kv_storage { f32, f16, int8 };

/// Sizes of a cache.
struct kv_shape {
  std::size_t layers = 0, kv_heads = 0, head_dim = 0;  ///< of the model
  std::size_t sequences = 1;                           ///< independent ones, numbered from 0
  std::size_t capacity = 0;                            ///< positions of each
  std::size_t chunk = 512;                             ///< most tokens that one append() brings
  /// How many positions a token of a layer sees, its own included; 0 or no entry: all before it.
  std::vector<std::size_t> windows;

  /// Positions a token of the layer sees; 0: all before it.
  [[nodiscard]] std::size_t window(std::size_t layer) const {
    return layer < windows.size() ? windows[layer] : 0;
  }
};

/// Dense rows of a head as a cache stores them. E: float, F16 as std::uint16_t, or std::int8_t with
/// a scale to each row.
template <class E>
struct stored_rows {
  const E* data;           ///< rows one after another
  std::size_t rows, cols;  ///< positions, head_dim
  const float* scales;     ///< null where all are 1
};

/// to (rows, cols) <- x
template <class E>
void to_floats(const stored_rows<E>& x, float* to) {
  if constexpr (std::same_as<E, float>)
    std::copy_n(x.data, x.rows * x.cols, to);
  else if constexpr (std::same_as<E, std::uint16_t>)
    from_f16(x.data, to, x.rows * x.cols);
  else
    for (std::size_t i = 0; i < x.rows; ++i)
      for (std::size_t c = 0; c < x.cols; ++c)
        to[i * x.cols + c] = static_cast<float>(x.data[i * x.cols + c]) * x.scales[i];
}

class kv_cache {
 public:
  /// Takes all memory at once. Throws config_error.
  explicit kv_cache(const kv_shape& shape, kv_storage storage = kv_storage::f16)
      : shape_(shape), storage_(storage), lengths_(shape.sequences) {
    for (const std::size_t n : {shape.layers, shape.kv_heads, shape.head_dim, shape.sequences,
                                shape.capacity, shape.chunk})
      if (n == 0) throw config_error("kv_cache: every size must be positive");
    for (std::size_t l = 0; l < shape.layers; ++l) {
      const std::size_t window = shape.window(l);
      layer one{
          window == 0 ? shape.capacity : std::min(shape.capacity, window + shape.chunk), {}, {}};
      const std::size_t rows = 2 * shape.sequences * shape.kv_heads * one.slots;
      one.data.resize(rows * row_bytes());
      if (storage == kv_storage::int8) one.scales.resize(rows);
      layers_.push_back(std::move(one));
    }
  }

  /// As given, windows and chunk included.
  [[nodiscard]] const kv_shape& shape() const { return shape_; }
  /// Throws config_error where there is no such sequence.
  [[nodiscard]] std::size_t length(std::size_t sequence) const {
    if (sequence >= shape_.sequences)
      throw config_error("kv_cache: sequence " + std::to_string(sequence) + " of " +
                         std::to_string(shape_.sequences));
    return lengths_[sequence];
  }
  /// Memory held.
  [[nodiscard]] std::size_t size_bytes() const {
    std::size_t total = 0;
    for (const layer& l : layers_) total += l.data.size() + l.scales.size() * sizeof(float);
    return total;
  }

  /// Throws config_error unless the sequence has room for n more positions.
  void require_room(std::size_t sequence, std::size_t n) const {
    const std::size_t now = this->length(sequence);
    if (n > shape_.chunk || now + n > shape_.capacity)
      throw config_error("kv_cache: no room for " + std::to_string(n) + " tokens after " +
                         std::to_string(now) + " (capacity " + std::to_string(shape_.capacity) +
                         ", " + std::to_string(shape_.chunk) + " at a time)");
  }

  /// Keys (after RoPE) and values of the positions that follow the sequence's length, (n, kv_heads
  /// * head_dim); once for every layer, then advance(). Throws as require_room(), and shape_error.
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
  /// The sequence is n positions longer: what append() brought to every layer counts from now on.
  /// Throws as require_room().
  void advance(std::size_t sequence, std::size_t n) {
    require_room(sequence, n);
    lengths_[sequence] += n;
  }

  /// Goes back to an earlier length (0: a new sequence). Throws config_error where a window has
  /// already dropped what that length sees.
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

  /// f(at, stored_rows<E>) with positions first + at and so on of a head, in order, until all of
  /// [first, first + n) were passed: at once, or in two pieces where a ring begins anew. They may
  /// lie beyond length() as far as they were appended.
  template <class F>
  void visit_keys(std::size_t layer_index, std::size_t sequence, std::size_t head,
                  std::size_t first, std::size_t n, F&& f) const {
    visit(layers_[layer_index], sequence, head, first, n, 0, f);
  }
  template <class F>
  void visit_values(std::size_t layer_index, std::size_t sequence, std::size_t head,
                    std::size_t first, std::size_t n, F&& f) const {
    const layer& l = layers_[layer_index];
    visit(l, sequence, head, first, n, l.slots, f);
  }

 private:
  /// Rows of head_dim elements: for each sequence and head the keys of all slots, then the values.
  struct layer {
    std::size_t slots;
    std::vector<std::byte> data;
    std::vector<float> scales;
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

  template <class F>
  void visit(const layer& l, std::size_t sequence, std::size_t head, std::size_t first,
             std::size_t n, std::size_t offset, F& f) const {
    for (std::size_t at = 0; at < n;) {
      const std::size_t row = index(l, sequence, head, first + at) + offset,
                        run = std::min(n - at, l.slots - (first + at) % l.slots);
      const std::byte* const data = l.data.data() + row * row_bytes();
      const auto pass = [&]<class E>(const E* rows, const float* scales) {
        f(at, stored_rows<E>{rows, run, shape_.head_dim, scales});
      };
      if (storage_ == kv_storage::f32)
        pass(reinterpret_cast<const float*>(data), nullptr);
      else if (storage_ == kv_storage::f16)
        pass(reinterpret_cast<const std::uint16_t*>(data), nullptr);
      else
        pass(reinterpret_cast<const std::int8_t*>(data), l.scales.data() + row);
      at += run;
    }
  }

  kv_shape shape_;
  kv_storage storage_;
  std::vector<std::size_t> lengths_;
  std::vector<layer> layers_;
};

}  // namespace tern::inline TERN_ABI
