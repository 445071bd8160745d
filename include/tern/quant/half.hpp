// IEEE binary16 (F16) and bfloat16 (BF16) as storage. Conversion from and to float is integer
// arithmetic without branches, so that loops over it vectorise with any instruction set.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// condition ? yes : no, in a form that compilers do not turn back into a branch around
/// floating-point operations (which they may not execute speculatively, nor so vectorise).
constexpr std::uint32_t select_bits(bool condition, std::uint32_t yes, std::uint32_t no) {
  return no ^ ((yes ^ no) & (0u - static_cast<std::uint32_t>(condition)));
}

}  // namespace detail

/// The value of a BF16 number, exactly.
constexpr float from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// Rounds to BF16, ties to even. A NaN becomes a quiet NaN; overflow gives infinity.
constexpr std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const bool nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
  const std::uint32_t rounded = bits + 0x7FFFu + ((bits >> 16) & 1u);
  return static_cast<std::uint16_t>((nan ? bits | 0x00400000u : rounded) >> 16);
}

/// The value of an F16 number, exactly, also of a subnormal one.
constexpr float from_f16(std::uint16_t half) {
  const std::uint32_t magnitude = (half & 0x7FFFu) << 13;
  const std::uint32_t exponent = magnitude & 0x0F800000u;
  // The bias of the exponent is 15 in F16 and 127 in float; 31 (infinity, NaN) becomes 255.
  const std::uint32_t normal = magnitude + ((127u - 15u) << 23);
  const std::uint32_t special = normal + ((255u - 127u - 31u + 15u) << 23);
  // A subnormal m * 2^-24 is the fraction of 2^-14 * (1 + m / 2^10), minus that 2^-14.
  const float subnormal = std::bit_cast<float>(normal + (1u << 23)) - 0x1p-14f;
  std::uint32_t result =
      detail::select_bits(exponent == 0, std::bit_cast<std::uint32_t>(subnormal), normal);
  result = detail::select_bits(exponent == 0x0F800000u, special, result);
  return std::bit_cast<float>(result | (half & 0x8000u) << 16);
}

/// Rounds to F16, ties to even, also to subnormal numbers. A NaN becomes a quiet NaN; overflow
/// (65520 and more) gives infinity.
constexpr std::uint16_t to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
  const std::uint32_t normal =
      (magnitude - ((127u - 15u) << 23) + 0xFFFu + ((magnitude >> 13) & 1u)) >> 13;
  // Floats near 0.5 are 2^-24 apart, like F16 subnormals, so the addition rounds as it must.
  const std::uint32_t subnormal =
      std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3F000000u;
  const std::uint32_t nan = 0x7E00u | ((magnitude >> 13) & 0x3FFu);
  std::uint32_t result = detail::select_bits(magnitude < 0x38800000u, subnormal, normal);  // 2^-14
  result = detail::select_bits(magnitude >= 0x477FF000u, 0x7C00u, result);                 // 65520
  result = detail::select_bits(magnitude > 0x7F800000u, nan, result);
  return static_cast<std::uint16_t>(result | ((bits >> 16) & 0x8000u));
}

}  // namespace tern::inline TERN_ABI
