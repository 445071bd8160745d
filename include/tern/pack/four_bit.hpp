// 4 bits for each weight, codes from -8 to 7: for the embeddings and output heads of ternary
// models. A line holds 16 rows x 8 columns. Byte 4 r + j holds the digits code + 8 of row r: column
// j in its low half, column 4 + j in its high half. So one mask gives 16 rows x 4 neighbouring
// columns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tern/core/byte_order.hpp"
#include "tern/pack/packed_matrix.hpp"

namespace tern::inline TERN_ABI {

/// A pack_format for codes of 4 bits.
struct four_bit {
  static constexpr std::size_t rows = 16, cols = 8;      ///< size of a line, in codes
  static constexpr std::uint8_t id = 3;                  ///< number of the format in stored weights
  static constexpr int least_code = -8, max_digit = 15;  ///< a digit is code - least_code

  /// See pack_format.
  static std::uint64_t pack(const std::int8_t* codes, std::size_t stride, packed_line& line) {
    std::uint64_t wrong = 0;
    for (std::size_t r = 0; r < rows; ++r) {
      std::uint64_t eight;
      std::memcpy(&eight, codes + r * stride, 8);
      eight = little_endian(eight);
      // Adding 8 to each byte flips bit 3 and carries into the upper half, which is dropped.
      const std::uint64_t digits = (eight & low) ^ 0x0808080808080808u;
      wrong |= extend(digits) ^ eight;
      const auto word = little_endian(static_cast<std::uint32_t>(digits | digits >> 28));
      std::memcpy(&line.bytes[4 * r], &word, 4);
    }
    return wrong;
  }

  /// See pack_format.
  static void unpack(const packed_line& line, std::int8_t* codes, std::size_t stride) {
    for (std::size_t r = 0; r < rows; ++r) {
      std::uint32_t word;
      std::memcpy(&word, &line.bytes[4 * r], 4);
      word = little_endian(word);
      const std::uint64_t eight = little_endian(extend((word | std::uint64_t{word} << 28) & low));
      std::memcpy(codes + r * stride, &eight, 8);
    }
  }

 private:
  static constexpr std::uint64_t low = 0x0F0F0F0F0F0F0F0Fu;

  /// Converts bytes of digits 0 to 15 to bytes of codes -8 to 7.
  static constexpr std::uint64_t extend(std::uint64_t digits) {
    constexpr std::uint64_t high = 0x8080808080808080u, eight = 0x0808080808080808u;
    return ((digits | high) - eight) ^ high;  // the high bit keeps a borrow in its byte
  }
};

static_assert(pack_format<four_bit>);

}  // namespace tern::inline TERN_ABI
