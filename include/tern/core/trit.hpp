// Ternary digits: weights as codes -1, 0, +1 in int8, one code a byte.
#pragma once

#include <cstdint>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// Eight codes as bytes of a word: nonzero where one of them is no trit.
constexpr std::uint64_t non_trits(std::uint64_t codes) {
  const std::uint64_t sign_broken = (codes ^ (codes << 1)) & 0xFCFCFCFCFCFCFCFCu;
  const std::uint64_t minus_two = (codes >> 1) & ~codes & 0x0101010101010101u;
  return sign_broken | minus_two;
}

/// Eight trits as bytes of a word -> eight unsigned digits code + 1 of {0, 1, 2}.
constexpr std::uint64_t trits_to_digits(std::uint64_t codes) {
  constexpr std::uint64_t low = 0x0303030303030303u, one = 0x0101010101010101u;
  return ((codes & low) + one) & low;
}

/// The way back.
constexpr std::uint64_t digits_to_trits(std::uint64_t digits) {
  constexpr std::uint64_t high = 0x8080808080808080u, one = 0x0101010101010101u;
  return ((digits | high) - one) ^ high;  // the high bit keeps borrows inside their byte
}

}  // namespace tern::inline TERN_ABI
