// GGUF's types with blocks of 32 elements, one F16 scale to each: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.
// The products are exact in float (a scale has 11 bits, a code at most 8), so a compiler that fuses
// them with the addition changes no bit.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "tern/gguf/float_blocks.hpp"

namespace tern::inline TERN_ABI::ggml {

namespace detail {

/// out[i] = scale * (code[i] - zero) + min. Byte j of `low` holds the low four bits of codes j
/// (bits 0-3) and j + 16 (bits 4-7); bit i of `high` is the fifth bit of code i.
inline void decode_nibbles(const std::byte* low, std::uint32_t high, int zero, float scale,
                           float min, float* out) {
  for (std::size_t j = 0; j < 16; ++j) {
    const unsigned byte = load_byte(low + j);
    const unsigned first = (byte & 15u) | ((high >> j) & 1u) << 4;
    const unsigned second = byte >> 4 | ((high >> (j + 16)) & 1u) << 4;
    out[j] = static_cast<float>(static_cast<int>(first) - zero) * scale + min;
    out[j + 16] = static_cast<float>(static_cast<int>(second) - zero) * scale + min;
  }
}

}  // namespace detail

/// An F16 scale and 16 bytes of codes. A value is scale * (code - 8).
struct q4_0 {
  static constexpr ggml_type type = ggml_type::q4_0;
  static constexpr std::size_t count = 32, size = 18;

  static void decode(const std::byte* block, float* out) {
    detail::decode_nibbles(block + 2, 0, 8, load_f16(block), -0.0f, out);
  }
};

/// An F16 scale, an F16 minimum and 16 bytes of codes. A value is scale * code + minimum.
struct q4_1 {
  static constexpr ggml_type type = ggml_type::q4_1;
  static constexpr std::size_t count = 32, size = 20;

  static void decode(const std::byte* block, float* out) {
    detail::decode_nibbles(block + 4, 0, 0, load_f16(block), load_f16(block + 2), out);
  }
};

/// An F16 scale, 32 fifth bits and 16 bytes of codes. A value is scale * (code - 16).
struct q5_0 {
  static constexpr ggml_type type = ggml_type::q5_0;
  static constexpr std::size_t count = 32, size = 22;

  static void decode(const std::byte* block, float* out) {
    detail::decode_nibbles(block + 6, load<std::uint32_t>(block + 2), 16, load_f16(block), -0.0f,
                           out);
  }
};

/// An F16 scale, an F16 minimum, 32 fifth bits and 16 bytes of codes. A value is scale * code +
/// minimum.
struct q5_1 {
  static constexpr ggml_type type = ggml_type::q5_1;
  static constexpr std::size_t count = 32, size = 24;

  static void decode(const std::byte* block, float* out) {
    detail::decode_nibbles(block + 8, load<std::uint32_t>(block + 4), 0, load_f16(block),
                           load_f16(block + 2), out);
  }
};

/// An F16 scale and 32 signed bytes. A value is scale * code.
struct q8_0 {
  static constexpr ggml_type type = ggml_type::q8_0;
  static constexpr std::size_t count = 32, size = 34;

  static void decode(const std::byte* block, float* out) {
    const float scale = load_f16(block);
    for (std::size_t i = 0; i < count; ++i)
      out[i] = static_cast<float>(load<std::int8_t>(block + 2 + i)) * scale;
  }

  /// Codes are rounded half away from zero, with the scale before that is rounded to F16. Input
  /// must be finite and below 127 * 65504.
  static void encode(const float* in, std::byte* block) {
    float largest = 0;
    for (std::size_t i = 0; i < count; ++i) largest = std::max(largest, std::fabs(in[i]));
    const float scale = largest / 127.0f;
    const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
    store(block, to_f16(scale));
    for (std::size_t i = 0; i < count; ++i)
      store(block + 2 + i, static_cast<std::int8_t>(std::round(in[i] * inverse)));
  }
};

}  // namespace tern::inline TERN_ABI::ggml
