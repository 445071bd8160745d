// Tables in which kernels look up the digits of a `base3` byte. The upper part of a byte is the
// value of the digits with weights 28 and 84, a multiple of 28; the lower part is the rest,
// below 28.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "tern/pack/base3.hpp"

namespace tern::inline TERN_ABI::kernel {

namespace detail {

/// entry(0), entry(1), ...
template <std::size_t size, class F>
constexpr std::array<std::uint8_t, size> make_table(F entry) {
  std::array<std::uint8_t, size> t{};
  for (std::size_t i = 0; i < size; ++i) t[i] = static_cast<std::uint8_t>(entry(i));
  return t;
}

/// The upper part of a byte.
constexpr std::size_t base3_upper(std::size_t byte) {
  return byte / base3::weights[3] * base3::weights[3];
}

}  // namespace detail

/// Tables of sixteen entries, for instructions that look up four bits.
struct base3_tables_16 {
  using table = std::array<std::uint8_t, 16>;

  /// Index byte >> 4: the upper part of the least byte with these bits. The upper part of the byte
  /// itself is this one or the next.
  static constexpr table least_upper =
      detail::make_table<16>([](std::size_t i) { return detail::base3_upper(16 * i); });
  /// Digits 3 and 4. Entry i belongs to the upper part of byte 16 (i + 1); for the upper part 0 the
  /// index is -1, and the instructions give 0 for it.
  template <std::size_t place>
  static constexpr table upper_digit = detail::make_table<16>(
      [](std::size_t i) { return base3::digit((16 * (i + 1)) % 256, place); });
  /// Digit 2 has the index 9 * digit mod 16.
  static constexpr table ninths = detail::make_table<16>([](std::size_t i) {
    return i == 9 ? 1 : i == 18 - 16 ? 2 : 0;
  });
  /// Digits 0 and 1 have the index lower part mod 9.
  template <std::size_t place>
  static constexpr table lower_digit =
      detail::make_table<16>([](std::size_t i) { return base3::digit(i, place); });
};

/// Tables of sixty-four entries, for instructions that look up six bits.
struct base3_tables_64 {
  using table = std::array<std::uint8_t, 64>;

  /// The upper part of a byte; the index is byte >> 2.
  alignas(64) static constexpr table upper = detail::make_table<64>([](std::size_t i) {
    return detail::base3_upper(4 * i);
  });
  /// A digit. The index is byte >> 2 for digits 3 and 4, and the lower part for the others.
  template <std::size_t place>
  alignas(64) static constexpr table digit = detail::make_table<64>([](std::size_t i) {
    return base3::digit(place < 3 ? i : 4 * i, place);
  });
};

}  // namespace tern::inline TERN_ABI::kernel
