// GGUF's plain types F32, F16 and BF16. Their blocks have one element.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tern/gguf/type.hpp"
#include "tern/quant/half.hpp"

namespace tern::inline TERN_ABI::ggml {

/// Reads a value that may have any alignment.
template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <class T>
void store(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

inline float load_f16(const std::byte* from) { return from_f16(load<std::uint16_t>(from)); }
inline unsigned load_byte(const std::byte* from) { return std::to_integer<unsigned>(*from); }

struct f32 {
  static constexpr ggml_type type = ggml_type::f32;
  static constexpr std::size_t count = 1, size = 4;

  static void decode(const std::byte* block, float* out) { *out = load<float>(block); }
  static void encode(const float* in, std::byte* block) { store(block, *in); }
};

struct f16 {
  static constexpr ggml_type type = ggml_type::f16;
  static constexpr std::size_t count = 1, size = 2;

  static void decode(const std::byte* block, float* out) { *out = load_f16(block); }
  static void encode(const float* in, std::byte* block) { store(block, to_f16(*in)); }
};

struct bf16 {
  static constexpr ggml_type type = ggml_type::bf16;
  static constexpr std::size_t count = 1, size = 2;

  static void decode(const std::byte* block, float* out) {
    *out = from_bf16(load<std::uint16_t>(block));
  }
  static void encode(const float* in, std::byte* block) { store(block, to_bf16(*in)); }
};

}  // namespace tern::inline TERN_ABI::ggml
