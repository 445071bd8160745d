// Ternary digits (trits): weights as codes -1, 0, +1 in int8, one code per byte. The functions work
// on eight codes in one 64-bit word.
#pragma once

#include <cstdint>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// Nonzero if one of the eight codes of the word is not a trit.
constexpr std::uint64_t non_trits(std::uint64_t codes) {
  const std::uint64_t sign_broken = (codes ^ (codes << 1)) & 0xFCFCFCFCFCFCFCFCu;
  const std::uint64_t minus_two = (codes >> 1) & ~codes & 0x0101010101010101u;
  return sign_broken | minus_two;
}

/// Turns the eight trits of the word into eight unsigned digits: digit = trit + 1.
constexpr std::uint64_t trits_to_digits(std::uint64_t codes) {
  constexpr std::uint64_t low = 0x0303030303030303u, one = 0x0101010101010101u;
  return ((codes & low) + one) & low;
}

/// Turns the eight digits of the word back into trits; the inverse of trits_to_digits().
constexpr std::uint64_t digits_to_trits(std::uint64_t digits) {
  constexpr std::uint64_t high = 0x8080808080808080u, one = 0x0101010101010101u;
  return ((digits | high) - one) ^ high;  // the high bit keeps borrows inside their byte
}

}  // namespace tern::inline TERN_ABI
