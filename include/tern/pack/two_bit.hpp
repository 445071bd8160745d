// 2 bits for each weight. A line holds 16 rows x 16 columns. Byte 4 r + j holds the digits code + 1
// of row r and columns j, 4 + j, 8 + j and 12 + j at bits 0, 2, 4 and 6. So one mask gives 64 bytes
// that are 16 rows x 4 neighbouring columns: the operand of a dot product of four bytes with one
// token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tern/core/byte_order.hpp"
#include "tern/core/trit.hpp"
#include "tern/pack/packed_matrix.hpp"

namespace tern::inline TERN_ABI {

/// A pack_format for trits.
struct two_bit {
  static constexpr std::size_t rows = 16, cols = 16;    ///< size of a line, in codes
  static constexpr int least_code = -1, max_digit = 2;  ///< a digit is code - least_code
  static constexpr std::uint8_t id = 1;                 ///< number of the format in stored weights

  /// See pack_format.
  static std::uint64_t pack(const std::int8_t* codes, std::size_t stride, packed_line& line) {
    std::uint64_t wrong = 0;
    for (std::size_t r = 0; r < rows; ++r) {
      std::uint64_t left, right;
      std::memcpy(&left, codes + r * stride, 8);
      std::memcpy(&right, codes + r * stride + 8, 8);
      left = little_endian(left);
      right = little_endian(right);
      wrong |= non_trits(left) | non_trits(right);
      const std::uint64_t planes = trits_to_digits(left) | trits_to_digits(right) << 4;
      const auto word = little_endian(static_cast<std::uint32_t>(planes | planes >> 30));
      std::memcpy(&line.bytes[4 * r], &word, 4);
    }
    return wrong;
  }

  /// See pack_format.
  static void unpack(const packed_line& line, std::int8_t* codes, std::size_t stride) {
    constexpr std::uint64_t low = 0x0303030303030303u;
    for (std::size_t r = 0; r < rows; ++r) {
      std::uint32_t word;
      std::memcpy(&word, &line.bytes[4 * r], 4);
      word = little_endian(word);
      const std::uint64_t planes = word | std::uint64_t{word} << 30;
      const std::uint64_t left = little_endian(digits_to_trits(planes & low));
      const std::uint64_t right = little_endian(digits_to_trits(planes >> 4 & low));
      std::memcpy(codes + r * stride, &left, 8);
      std::memcpy(codes + r * stride + 8, &right, 8);
    }
  }
};

static_assert(pack_format<two_bit>);

}  // namespace tern::inline TERN_ABI
