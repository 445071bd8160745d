// Encoding of numbers and of ternary codes as the blocks of GGUF files.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tern/core/all_finite.hpp"
#include "tern/core/error.hpp"
#include "tern/core/tensor.hpp"
#include "tern/gguf/tensor.hpp"
#include "tern/gguf/ternary.hpp"
#include "tern/quant/quantizer.hpp"

namespace tern::inline TERN_ABI {

/// A function that takes the bytes of a tensor in order, in pieces.
using byte_sink = std::function<void(std::span<const std::byte>)>;

/// Codes -1, 0, +1 as a weight quantizer makes them, with one scale for each block of codes.
struct ternary_codes {
  matrix_view<const std::int8_t> codes;  ///< (rows, cols)
  matrix_view<const float> scales;       ///< as many as scale_extents(codes, block) says
  extents block;                         ///< rows and columns of codes that share a scale
};

namespace detail {

template <class Block>
concept encodes_numbers = requires(const float* in, std::byte* out) { Block::encode(in, out); };

[[noreturn]] inline void fail_to_encode(const std::string& name, const std::string& what) {
  throw config_error("tensor '" + name + "': " + what);
}

/// Calls encode(row, bytes) for each row and passes the bytes on in pieces that are worth a system
/// call.
template <class F>
void encode_rows(std::size_t rows, std::size_t row_bytes, const byte_sink& out, F&& encode) {
  constexpr std::size_t enough = std::size_t{1} << 20;
  std::vector<std::byte> bytes;
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t end = bytes.size();
    bytes.resize(end + row_bytes);
    encode(r, bytes.data() + end);
    if (bytes.size() < enough && r + 1 < rows) continue;
    out(bytes);
    bytes.clear();
  }
}

template <class Block>
void encode_ternary_row(const std::string& name, const ternary_codes& m, std::size_t r,
                        std::byte* bytes) {
  std::array<std::uint8_t, Block::count> digits;
  for (std::size_t c = 0; c < m.codes.cols; c += Block::count, bytes += Block::size) {
    for (std::size_t i = 0; i < Block::count; ++i) {
      digits[i] = static_cast<std::uint8_t>(m.codes(r, c + i) + 1);
      if (digits[i] > 2) fail_to_encode(name, "a code is none of -1, 0, +1");
    }
    Block::pack(digits.data(), bytes);
    if constexpr (requires { Block::scale(bytes); }) {
      const float scale = m.scales(r / m.block.rows, c / m.block.cols);
      Block::set_scale(scale, bytes);
      const float stored = Block::scale(bytes);
      if (!is_finite(stored) || (stored == 0 && scale != 0))
        fail_to_encode(name, "a scale is out of the range of F16");
    }
  }
}

}  // namespace detail

/// Whether encode_matrix can write the type. It can write F32, F16, BF16 and Q8_0.
inline bool can_encode(ggml_type type) {
  bool can = false;
  detail::with_ggml_block(type, [&]<class Block>(Block) { can = detail::encodes_numbers<Block>; });
  return can;
}

/// Encodes `m` in blocks of `type`, see can_encode. `name` stands in messages. Throws config_error
/// where a value is not finite or too large for the type.
template <class T>
void encode_matrix(const std::string& name, matrix_view<const T> m, ggml_type type,
                   const byte_sink& out) {
  detail::with_ggml_block(type, [&]<class Block>(Block) {
    if constexpr (detail::encodes_numbers<Block>) {
      std::vector<float> values(m.cols);
      const auto encode = [&](std::size_t r, std::byte* bytes) {
        for (std::size_t c = 0; c < m.cols; ++c) values[c] = static_cast<float>(m(r, c));
        const bool finite = all_finite(values);
        for (std::size_t c = 0; finite && c < m.cols; c += Block::count, bytes += Block::size) {
          Block::encode(&values[c], bytes);
          Block::decode(bytes, &values[c]);
        }
        if (!finite || !all_finite(values))
          detail::fail_to_encode(name, "a value of row " + std::to_string(r) +
                                           " is not finite or too large for " +
                                           ggml_type_name(type));
      };
      detail::encode_rows(m.rows, m.cols / Block::count * Block::size, out, encode);
    }
  });
}

/// Encodes ternary weights in blocks of a ternary type; I2_S gets its tail. Only scales are
/// rounded, to F16, and those of I2_S are not. Throws config_error where a code is no trit or a
/// scale does not fit.
inline void encode_ternary(const std::string& name, const ternary_codes& m, ggml_type type,
                           i2_s_layout layout, const byte_sink& out) {
  detail::with_ternary_block(type, layout, [&]<class Block>(Block) {
    detail::encode_rows(m.codes.rows, m.codes.cols / Block::count * Block::size, out,
                        [&](std::size_t r, std::byte* bytes) {
                          detail::encode_ternary_row<Block>(name, m, r, bytes);
                        });
  });
  if (type != ggml_type::i2_s) return;
  std::array<std::byte, i2_s_tail> tail{};
  ggml::store(tail.data(), m.scales(0, 0));
  if (!is_finite(m.scales(0, 0))) detail::fail_to_encode(name, "its scale is not finite");
  out(tail);
}

}  // namespace tern::inline TERN_ABI
