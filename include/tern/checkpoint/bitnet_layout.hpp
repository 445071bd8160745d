// The packing of ternary weights in Hugging Face's `bitnet` checkpoints. A weight of (out, in) is a
// U8 tensor of [R, in] with R = ceil(out / 4): bits 2i and 2i + 1 of its byte [r, c] hold code + 1
// of row r + i R, column c. Rows beyond the last are cropped.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// The number of rows of bytes that hold so many rows of weights.
inline std::size_t bitnet_rows(std::size_t rows) { return (rows + 3) / 4; }

/// Packs codes -1, 0 and +1. packed: (bitnet_rows(codes.rows), codes.cols).
inline void pack_bitnet(matrix_view<const std::int8_t> codes, matrix_view<std::uint8_t> packed) {
  const std::size_t quarter = bitnet_rows(codes.rows);
  require_shape(packed, quarter, codes.cols, "pack_bitnet: packed");
  for (std::size_t r = 0; r < quarter; ++r)
    for (std::size_t c = 0; c < codes.cols; ++c) {
      unsigned byte = 0;
      for (std::size_t i = 0; i < 4 && r + i * quarter < codes.rows; ++i)
        byte |= static_cast<unsigned>(codes(r + i * quarter, c) + 1) << (2 * i);
      packed(r, c) = static_cast<std::uint8_t>(byte);
    }
}

/// Unpacks into codes -1, 0 and +1, with the same shapes. Throws format_error for two bits that
/// stand for no code.
inline void unpack_bitnet(matrix_view<const std::uint8_t> packed, matrix_view<std::int8_t> codes) {
  const std::size_t quarter = bitnet_rows(codes.rows);
  require_shape(packed, quarter, codes.cols, "unpack_bitnet: packed");
  for (std::size_t r = 0; r < codes.rows; ++r)
    for (std::size_t c = 0; c < codes.cols; ++c) {
      const unsigned digit = packed(r % quarter, c) >> (2 * (r / quarter)) & 3u;
      if (digit == 3) throw format_error("a packed weight is none of -1, 0, +1");
      codes(r, c) = static_cast<std::int8_t>(static_cast<int>(digit) - 1);
    }
}

}  // namespace tern::inline TERN_ABI
