// Ternary tensors of GGUF files as codes and scales. No weight is rounded on the way.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "tern/core/all_finite.hpp"
#include "tern/core/error.hpp"
#include "tern/core/tensor.hpp"
#include "tern/gguf/tensor.hpp"
#include "tern/quant/absmean.hpp"
#include "tern/quant/quantizer.hpp"

namespace tern::inline TERN_ABI {

/// Whether the type is ternary: TQ1_0, TQ2_0, Q2_0, PQ2_0 or I2_S. Weights of Q2_0 may also be +2
/// times the scale, see has_trits_alone().
inline bool is_ternary(ggml_type type) {
  using enum ggml_type;
  return type == tq1_0 || type == tq2_0 || type == q2_0 || type == pq2_0 || type == i2_s;
}

/// The part of a (rows, cols) tensor that shares a scale. `scale_extents` computes from it how many
/// scales there are.
inline extents ternary_scale_block(ggml_type type, std::size_t rows, std::size_t cols) {
  if (type == ggml_type::i2_s) return absmean::scale_block(rows, cols);
  return {1, find_ggml_type(type)->count};
}

namespace detail {

/// Calls f(Block{}) with the codec of a ternary type.
template <class F>
void with_ternary_block(ggml_type type, i2_s_layout layout, F&& f) {
  if (type == ggml_type::tq1_0)
    f(ggml::tq1_0{});
  else if (type == ggml_type::tq2_0)
    f(ggml::tq2_0{});
  else if (type == ggml_type::q2_0)
    f(ggml::q2_0{});
  else if (type == ggml_type::pq2_0)
    f(ggml::pq2_0{});
  else
    with_i2_s_block(layout, f);
}

template <class Block>
void read_ternary_row(const gguf_tensor& t, std::size_t r, row_view<std::int8_t> codes,
                      row_view<float> scales) {
  std::array<std::uint8_t, Block::count> digits;
  const std::size_t blocks = codes.size / Block::count;
  const std::byte* bytes = t.data.data() + r * blocks * Block::size;
  for (std::size_t b = 0; b < blocks; ++b, bytes += Block::size) {
    Block::unpack(bytes, digits.data());
    for (std::size_t i = 0; i < Block::count; ++i) {
      if (digits[i] > 2) t.fail("a weight of row " + std::to_string(r) + " is none of -1, 0, +1");
      codes[b * Block::count + i] = static_cast<std::int8_t>(digits[i] - 1);
    }
    if constexpr (requires { Block::scale(bytes); }) scales[b] = Block::scale(bytes);
  }
}

}  // namespace detail

/// The one scale of all weights of a ternary tensor; blocks of zeros may have the scale 0 beside
/// it. Nothing where there are several, where one is negative or not finite, and for other types.
inline std::optional<float> single_scale(const gguf_tensor& t) {
  if (!is_ternary(t.type) || t.size() == 0) return std::nullopt;
  float found = 0;
  bool single = true;
  const auto see = [&](float scale) {
    single =
        single && is_finite(scale) && scale >= 0 && (scale == 0 || found == 0 || scale == found);
    if (single && scale != 0) found = scale;
  };
  if (t.type == ggml_type::i2_s)
    see(detail::i2_s_scale(t));
  else
    detail::with_ternary_block(t.type, {}, [&]<class Block>(Block) {
      if constexpr (requires(const std::byte* bytes) { Block::scale(bytes); })
        for (std::size_t at = 0; single && at < t.data.size(); at += Block::size)
          see(Block::scale(t.data.data() + at));
    });
  return single ? std::optional(found) : std::nullopt;
}

/// Whether a ternary tensor has no weight but -1, 0 and +1 times a scale. Q2_0 can also hold +2.
inline bool has_trits_alone(const gguf_tensor& t) {
  if (t.type != ggml_type::q2_0 && t.type != ggml_type::pq2_0) return is_ternary(t.type);
  const std::size_t size = find_ggml_type(t.type)->size;
  unsigned twos = 0;
  for (std::size_t at = 0; at < t.data.size(); at += size)
    for (std::size_t i = 2; i < size; ++i) {
      const unsigned byte = ggml::load_byte(t.data.data() + at + i);
      twos |= byte & byte >> 1 & 0x55u;
    }
  return twos == 0;
}

/// Reads a tensor of a ternary type and of shape [rows, cols] as codes -1, 0, +1 and scales of
/// scale_extents({rows, cols}, ternary_scale_block(...)). Throws format_error naming file and
/// tensor where type or shape do not fit, a weight is no trit, or a scale is not finite.
inline void read_ternary(const gguf_tensor& t, matrix_view<std::int8_t> codes,
                         matrix_view<float> scales) {
  if (!is_ternary(t.type)) t.fail("type " + ggml_type_name(t.type) + " is not ternary");
  require_stored_shape(t, {codes.rows, codes.cols});
  const auto n =
      scale_extents({codes.rows, codes.cols}, ternary_scale_block(t.type, codes.rows, codes.cols));
  require_shape(scales, n.rows, n.cols, "read_ternary: scales");
  if (t.size() == 0) return;
  detail::with_ternary_block(t.type, t.layout, [&](auto block) {
    detail::require_whole_blocks<decltype(block)>(t, codes.cols);
    for (std::size_t r = 0; r < codes.rows; ++r)
      detail::read_ternary_row<decltype(block)>(t, r, codes.row(r), scales.row(r % n.rows));
  });
  if (t.type == ggml_type::i2_s) scales(0, 0) = detail::i2_s_scale(t);
  for (std::size_t r = 0; r < n.rows; ++r)
    for (std::size_t c = 0; c < n.cols; ++c)
      if (!is_finite(scales(r, c)))
        t.fail("a scale of row " + std::to_string(r) + " is not finite");
}

}  // namespace tern::inline TERN_ABI
