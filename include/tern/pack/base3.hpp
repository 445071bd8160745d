// 1.6 bits for each weight: a byte has five digits. A line holds 16 rows x 20 columns. Byte 4 r + j
// holds the digits code + 1 of row r and columns j, 4 + j, 8 + j, 12 + j and 16 + j, times the
// weights 1, 3, 9, 28 and 84. So a line has five planes of 16 rows x 4 neighbouring columns, where
// a line of `two_bit` has four.
//
// The weights are 28 and 84 rather than 27 and 81. Only 243 of 256 values are needed, and with
// multiples of four the upper six bits of a byte alone determine the two upper digits; the rest is
// below 28. Processors can look up six bits at once in one register.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tern/core/byte_order.hpp"
#include "tern/core/trit.hpp"
#include "tern/pack/packed_matrix.hpp"

namespace tern::inline TERN_ABI {

/// A pack_format for trits.
struct base3 {
  static constexpr std::size_t rows = 16, cols = 20;    ///< size of a line, in codes
  static constexpr std::uint8_t id = 2;                 ///< number of the format in stored weights
  static constexpr int least_code = -1, max_digit = 2;  ///< a digit is code - least_code
  /// What the five digits in a byte are multiplied by.
  static constexpr std::array<std::uint8_t, 5> weights{1, 3, 9, 28, 84};

  /// The digit of a byte that is multiplied by weights[place]. It is 0, 1 or 2, whatever the byte.
  static constexpr std::uint8_t digit(std::size_t byte, std::size_t place) {
    const std::size_t unit = place < 3 ? weights[place] : place == 3 ? 1 : 3;
    const std::size_t part = place < 3 ? byte % weights[3] : byte / weights[3];
    return static_cast<std::uint8_t>(part / unit % 3);
  }

  /// See pack_format.
  static std::uint64_t pack(const std::int8_t* codes, std::size_t stride, packed_line& line) {
    std::uint64_t wrong = 0;
    for (std::size_t r = 0; r < rows; ++r) {
      std::uint64_t sum = 0;  // each byte sums digits times weights, at most 250
      for (std::size_t p = 0; p < weights.size(); ++p) {
        std::uint32_t four;
        std::memcpy(&four, codes + r * stride + 4 * p, 4);
        four = little_endian(four);
        wrong |= non_trits(four);
        sum += trits_to_digits(four) * weights[p];
      }
      const auto word = little_endian(static_cast<std::uint32_t>(sum));
      std::memcpy(&line.bytes[4 * r], &word, 4);
    }
    return wrong;
  }

  /// See pack_format.
  static void unpack(const packed_line& line, std::int8_t* codes, std::size_t stride) {
    for (std::size_t p = 0; p < weights.size(); ++p)
      for (std::size_t i = 0; i < sizeof line; ++i)
        codes[i / 4 * stride + 4 * p + i % 4] =
            static_cast<std::int8_t>(digit(line.bytes[i], p) - 1);
  }
};

static_assert(pack_format<base3>);

}  // namespace tern::inline TERN_ABI
