// GGUF's ternary types: TQ1_0 and TQ2_0, with an F16 scale for each 256 weights, Q2_0, with one for
// each 64 or 128, and I2_S of bitnet.cpp, with one scale for the tensor. They store digits: 0 for
// the code -1, 1 for 0, 2 for +1. Codes come back as they were; only the F16 scales are rounded.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "tern/gguf/float_blocks.hpp"

namespace tern::inline TERN_ABI::ggml {

namespace detail {

/// N digits in base 3 in each of `width` bytes: byte m has those of elements m, m + width, ..., the
/// first the most significant. byte / 256 is the fraction number / 243, rounded up, so that each
/// multiplication by 3 moves the next digit in front of the point.
template <std::size_t N>
void unpack_base3(const std::byte* packed, std::size_t width, std::uint8_t* digits) {
  unsigned power = 1;
  for (std::size_t n = 0; n < N; ++n, power *= 3)
    for (std::size_t m = 0; m < width; ++m)
      digits[n * width + m] =
          static_cast<std::uint8_t>((load_byte(packed + m) * power & 255u) * 3 >> 8);
}

template <std::size_t N>
void pack_base3(const std::uint8_t* digits, std::size_t width, std::byte* packed) {
  for (std::size_t m = 0; m < width; ++m) {
    unsigned number = 0;
    for (std::size_t n = 0; n < 5; ++n) number = number * 3 + (n < N ? digits[n * width + m] : 0u);
    packed[m] = static_cast<std::byte>((number * 256 + 242) / 243);
  }
}

/// Four digits in each of `width` bytes: byte m has those of elements m, m + width, ... at bits 0,
/// 2, 4, 6, or at bits 6, 4, 2, 0.
template <bool LowBitsFirst>
void unpack_pairs(const std::byte* packed, std::size_t width, std::uint8_t* digits) {
  for (unsigned n = 0; n < 4; ++n)
    for (std::size_t m = 0; m < width; ++m)
      digits[n * width + m] = static_cast<std::uint8_t>(
          load_byte(packed + m) >> (LowBitsFirst ? 2 * n : 6 - 2 * n) & 3u);
}

template <bool LowBitsFirst>
void pack_pairs(const std::uint8_t* digits, std::size_t width, std::byte* packed) {
  for (std::size_t m = 0; m < width; ++m) {
    unsigned byte = 0;
    for (unsigned n = 0; n < 4; ++n)
      byte |= unsigned{digits[n * width + m]} << (LowBitsFirst ? 2 * n : 6 - 2 * n);
    packed[m] = static_cast<std::byte>(byte);
  }
}

/// The part that types of `Count` digits with an F16 scale share. The scale begins at the byte
/// `ScaleAt` of a block.
template <class Block, std::size_t Count, std::size_t ScaleAt>
struct scaled_digits {
  static constexpr std::size_t count = Count;

  static float scale(const std::byte* block) { return load_f16(block + ScaleAt); }
  static void set_scale(float scale, std::byte* block) { store(block + ScaleAt, to_f16(scale)); }
  static void decode(const std::byte* block, float* out) {
    std::array<std::uint8_t, count> digits;
    Block::unpack(block, digits.data());
    const float factor = scale(block);
    for (std::size_t i = 0; i < count; ++i)
      out[i] = static_cast<float>(static_cast<int>(digits[i]) - 1) * factor;
  }
};

}  // namespace detail

/// 1.69 bits a weight: 48 bytes of five digits and 4 bytes of four.
struct tq1_0 : detail::scaled_digits<tq1_0, 256, 52> {
  static constexpr ggml_type type = ggml_type::tq1_0;
  static constexpr std::size_t size = 54;

  static void unpack(const std::byte* block, std::uint8_t* digits) {
    detail::unpack_base3<5>(block, 32, digits);
    detail::unpack_base3<5>(block + 32, 16, digits + 160);
    detail::unpack_base3<4>(block + 48, 4, digits + 240);
  }
  static void pack(const std::uint8_t* digits, std::byte* block) {
    detail::pack_base3<5>(digits, 32, block);
    detail::pack_base3<5>(digits + 160, 16, block + 32);
    detail::pack_base3<4>(digits + 240, 4, block + 48);
  }
};

/// 2.06 bits a weight: two halves of 32 bytes.
struct tq2_0 : detail::scaled_digits<tq2_0, 256, 64> {
  static constexpr ggml_type type = ggml_type::tq2_0;
  static constexpr std::size_t size = 66;

  static void unpack(const std::byte* block, std::uint8_t* digits) {
    for (std::size_t half = 0; half < 2; ++half)
      detail::unpack_pairs<true>(block + 32 * half, 32, digits + 128 * half);
  }
  static void pack(const std::uint8_t* digits, std::byte* block) {
    for (std::size_t half = 0; half < 2; ++half)
      detail::pack_pairs<true>(digits + 128 * half, 32, block + 32 * half);
  }
};

/// 2.25 or 2.125 bits a weight: an F16 scale, then four neighbouring weights in each byte, the
/// first in the lowest bits. The digit 3 stands for +2, which ternary weights do not have.
template <ggml_type Type, std::size_t Count>
struct grouped_digits : detail::scaled_digits<grouped_digits<Type, Count>, Count, 0> {
  static constexpr ggml_type type = Type;
  static constexpr std::size_t size = 2 + Count / 4;

  static void unpack(const std::byte* block, std::uint8_t* digits) {
    for (std::size_t i = 0; i < Count; ++i)
      digits[i] = static_cast<std::uint8_t>(load_byte(block + 2 + i / 4) >> i % 4 * 2 & 3u);
  }
  static void pack(const std::uint8_t* digits, std::byte* block) {
    for (std::size_t i = 0; i < Count; i += 4)
      block[2 + i / 4] = static_cast<std::byte>(digits[i] | digits[i + 1] << 2 |
                                                digits[i + 2] << 4 | digits[i + 3] << 6);
  }
};

using q2_0 = grouped_digits<ggml_type::q2_0, 64>;
using pq2_0 = grouped_digits<ggml_type::pq2_0, 128>;

/// 2 bits a weight. A block is as wide as the vectors of the processor that the file was made for,
/// and nothing in the file says which one that was.
template <std::size_t Width>
struct i2_s {
  static constexpr ggml_type type = ggml_type::i2_s;
  static constexpr std::size_t count = 4 * Width, size = Width;

  static void unpack(const std::byte* block, std::uint8_t* digits) {
    detail::unpack_pairs<false>(block, Width, digits);
  }
  static void pack(const std::uint8_t* digits, std::byte* block) {
    detail::pack_pairs<false>(digits, Width, block);
  }
  /// The digit 3, which no writer makes, is read as 0, as bitnet.cpp does.
  static void decode(const std::byte* block, float scale, float* out) {
    std::array<std::uint8_t, count> digits;
    unpack(block, digits.data());
    for (std::size_t i = 0; i < count; ++i)
      out[i] = static_cast<float>(digits[i] == 3 ? 0 : static_cast<int>(digits[i]) - 1) * scale;
  }
};

using i2_s_x86 = i2_s<32>;
using i2_s_arm = i2_s<16>;

}  // namespace tern::inline TERN_ABI::ggml
