// What kernels look up to find the digits of a `base3` byte. Its upper part is what the digits of
// weights 28 and 84 make of it: a multiple of 28. The lower part is the rest, below 28.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "tern/pack/base3.hpp"

namespace tern::inline TERN_ABI::kernel {

namespace detail {

template <std::size_t size, class F>
constexpr std::array<std::uint8_t, size> make_table(F entry) {
  std::array<std::uint8_t, size> t{};
  for (std::size_t i = 0; i < size; ++i) t[i] = static_cast<std::uint8_t>(entry(i));
  return t;
}

constexpr std::size_t base3_upper(std::size_t byte) {
  return byte / base3::weights[3] * base3::weights[3];
}

}  // namespace detail

/// Sixteen entries, for processors that look up four bits.
struct base3_tables_16 {
  using table = std::array<std::uint8_t, 16>;

  /// Entry byte >> 4: the upper part of the least such byte; the byte's own is that or the next.
  static constexpr table least_upper =
      detail::make_table<16>([](std::size_t i) { return detail::base3_upper(16 * i); });
  /// Digits 3 and 4: entry i of the upper part that byte 16 (i + 1) has. The first upper part, 0,
  /// is entry -1: none, and what is looked up in none is 0.
  template <std::size_t place>
  static constexpr table upper_digit = detail::make_table<16>(
      [](std::size_t i) { return base3::digit((16 * (i + 1)) % 256, place); });
  /// Digit 2: entry 9 digit mod 16.
  static constexpr table ninths = detail::make_table<16>([](std::size_t i) {
    return i == 9 ? 1 : i == 18 - 16 ? 2 : 0;
  });
  /// Digits 0 and 1: entry lower part mod 9.
  template <std::size_t place>
  static constexpr table lower_digit =
      detail::make_table<16>([](std::size_t i) { return base3::digit(i, place); });
};

/// Sixty-four entries, for those that look up six bits.
struct base3_tables_64 {
  using table = std::array<std::uint8_t, 64>;

  /// Entry byte >> 2.
  alignas(64) static constexpr table upper = detail::make_table<64>([](std::size_t i) {
    return detail::base3_upper(4 * i);
  });
  /// A digit: entry byte >> 2 for digits 3 and 4, the lower part for the others.
  template <std::size_t place>
  alignas(64) static constexpr table digit = detail::make_table<64>([](std::size_t i) {
    return base3::digit(place < 3 ? i : 4 * i, place);
  });
};

}  // namespace tern::inline TERN_ABI::kernel
