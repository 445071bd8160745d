// 8 bits for each weight, which may be any int8 code: for embeddings and output heads. A line holds
// 16 rows x 4 columns. Byte 4 r + j holds the digit code + 128 of row r and column j.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tern/pack/packed_matrix.hpp"

namespace tern::inline TERN_ABI {

/// A pack_format for codes of 8 bits.
struct eight_bit {
  static constexpr std::size_t rows = 16, cols = 4;  ///< size of a line, in codes
  static constexpr std::uint8_t id = 4;              ///< number of the format in stored weights
  static constexpr int least_code = -128, max_digit = 255;  ///< a digit is code - least_code

  /// See pack_format; every code fits.
  static std::uint64_t pack(const std::int8_t* codes, std::size_t stride, packed_line& line) {
    for (std::size_t r = 0; r < rows; ++r) {
      std::uint32_t four;
      std::memcpy(&four, codes + r * stride, 4);
      four ^= 0x80808080u;
      std::memcpy(&line.bytes[4 * r], &four, 4);
    }
    return 0;
  }

  /// See pack_format.
  static void unpack(const packed_line& line, std::int8_t* codes, std::size_t stride) {
    for (std::size_t r = 0; r < rows; ++r) {
      std::uint32_t four;
      std::memcpy(&four, &line.bytes[4 * r], 4);
      four ^= 0x80808080u;
      std::memcpy(codes + r * stride, &four, 4);
    }
  }
};

static_assert(pack_format<eight_bit>);

}  // namespace tern::inline TERN_ABI
