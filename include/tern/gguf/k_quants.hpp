// GGUF's "K" types. A block of 256 elements consists of sub-blocks; each has a scale that is a
// small integer, and some types a minimum, which one or two F16 factors of the block multiply.
// Every product here is exact in float (a factor has 11 bits, a scale 7, a code 6), so fusing it
// with an addition changes no bit.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tern/gguf/float_blocks.hpp"

namespace tern::inline TERN_ABI::ggml {

namespace detail {

struct scale_and_min {
  unsigned scale, min;
};

/// Eight scales and eight minima of 6 bits in 12 bytes. The lower six bits of bytes 0-3 are the
/// scales and those of bytes 4-7 the minima of sub-blocks 0-3; their upper two bits and the nibbles
/// of bytes 8-11 make those of sub-blocks 4-7.
inline scale_and_min unpack_scale(const std::byte* packed, std::size_t j) {
  const auto byte = [&](std::size_t i) { return load_byte(packed + i); };
  if (j < 4) return {byte(j) & 63u, byte(j + 4) & 63u};
  return {(byte(j + 4) & 15u) | (byte(j - 4) >> 6) << 4, byte(j + 4) >> 4 | (byte(j) >> 6) << 4};
}

/// Decodes Q4_K and Q5_K. A block has an F16 factor of the scales, an F16 factor of the minima, 12
/// bytes of scales and minima, 32 bytes of fifth bits (`high`, null for Q4_K), and 128 bytes of low
/// nibbles. Sub-blocks of 32 elements lie in pairs: the low nibbles of 32 bytes are codes of the
/// first, the high nibbles codes of the second. The fifth bit of element m of sub-block j is bit j
/// of high[m].
inline void decode_k(const std::byte* block, const std::byte* high, const std::byte* low,
                     float* out) {
  const float factor = load_f16(block), min_factor = load_f16(block + 2);
  for (std::size_t j = 0; j < 8; ++j) {
    const scale_and_min packed = unpack_scale(block + 4, j);
    const float scale = factor * static_cast<float>(packed.scale);
    const float min = min_factor * static_cast<float>(packed.min);
    const std::byte* nibbles = low + 32 * (j / 2);
    for (std::size_t m = 0; m < 32; ++m) {
      unsigned code = load_byte(nibbles + m) >> (4 * (j % 2)) & 15u;
      if (high != nullptr) code |= (load_byte(high + m) >> j & 1u) << 4;
      out[32 * j + m] = scale * static_cast<float>(code) - min;
    }
  }
}

}  // namespace detail

/// 4-bit codes in sub-blocks of 32. A value is factor * scale * code - min_factor * min.
struct q4_k {
  static constexpr ggml_type type = ggml_type::q4_k;
  static constexpr std::size_t count = 256, size = 144;

  static void decode(const std::byte* block, float* out) {
    detail::decode_k(block, nullptr, block + 16, out);
  }
};

/// 5-bit codes in sub-blocks of 32, with the same values.
struct q5_k {
  static constexpr ggml_type type = ggml_type::q5_k;
  static constexpr std::size_t count = 256, size = 176;

  static void decode(const std::byte* block, float* out) {
    detail::decode_k(block, block + 16, block + 48, out);
  }
};

/// 6-bit codes in sub-blocks of 16. A value is factor * scale * (code - 32). A block has 128 bytes
/// of low nibbles, 64 bytes of high bit pairs, 16 signed scales and an F16 factor. Each half of 128
/// elements has 64 bytes of nibbles and 32 bytes of bit pairs: element m of its quarter q has its
/// low bits in nibble q / 2 of byte 32 (q % 2) + m, and its high bits at bit 2q of byte m.
struct q6_k {
  static constexpr ggml_type type = ggml_type::q6_k;
  static constexpr std::size_t count = 256, size = 210;

  static void decode(const std::byte* block, float* out) {
    const float factor = load_f16(block + 208);
    for (std::size_t half = 0; half < 2; ++half)
      for (std::size_t q = 0; q < 4; ++q)
        for (std::size_t m = 0; m < 32; ++m) {
          const unsigned low = load_byte(block + 64 * half + 32 * (q % 2) + m) >> (4 * (q / 2));
          const unsigned high = load_byte(block + 128 + 32 * half + m) >> (2 * q);
          const int code = static_cast<int>((low & 15u) | (high & 3u) << 4) - 32;
          const auto scale = load<std::int8_t>(block + 192 + 8 * half + 2 * q + m / 16);
          out[128 * half + 32 * q + m] =
              factor * static_cast<float>(scale) * static_cast<float>(code);
        }
  }
};

}  // namespace tern::inline TERN_ABI::ggml
