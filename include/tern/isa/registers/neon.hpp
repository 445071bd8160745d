// Operations on pairs of 128-bit registers with the Advanced SIMD of every AArch64. They stand in
// no region, since every translation unit for AArch64 may use these instructions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tern/isa/target.hpp"
#include "tern/version.hpp"

#if TERN_AARCH64
#  include <arm_neon.h>

#  include <cstring>

namespace tern::inline TERN_ABI::isa::neon {

/// 32 bytes, or 8 numbers of 32 bits.
struct integers {
  struct reg {
    int32x4_t low, high;
  };
  static constexpr std::size_t bytes = 32;

  TERN_INLINE static int8x16_t as_bytes(int32x4_t a) { return vreinterpretq_s8_s32(a); }
  TERN_INLINE static reg load(const void* p) {
    const auto* words = static_cast<const std::int32_t*>(p);
    return {vld1q_s32(words), vld1q_s32(words + 4)};
  }
  TERN_INLINE static void store(void* p, reg a) {
    auto* words = static_cast<std::int32_t*>(p);
    vst1q_s32(words, a.low);
    vst1q_s32(words + 4, a.high);
  }
  /// The four bytes at x, in each 32 bits of one register.
  TERN_INLINE static int8x16_t four(const std::int8_t* x) {
    std::int32_t word;
    std::memcpy(&word, x, sizeof word);
    return as_bytes(vdupq_n_s32(word));
  }
  TERN_INLINE static reg fill(std::int32_t v) { return {vdupq_n_s32(v), vdupq_n_s32(v)}; }
  TERN_INLINE static reg add(reg a, reg b) {
    return {vaddq_s32(a.low, b.low), vaddq_s32(a.high, b.high)};
  }
  TERN_INLINE static reg add_bytes(reg a, reg b) {
    return {as_words(vaddq_u8(as_u8(a.low), as_u8(b.low))),
            as_words(vaddq_u8(as_u8(a.high), as_u8(b.high)))};
  }
  TERN_INLINE static reg sub_bytes(reg a, reg b) {
    return {as_words(vsubq_u8(as_u8(a.low), as_u8(b.low))),
            as_words(vsubq_u8(as_u8(a.high), as_u8(b.high)))};
  }
  TERN_INLINE static reg min_bytes(reg a, reg b) {
    return {as_words(vminq_u8(as_u8(a.low), as_u8(b.low))),
            as_words(vminq_u8(as_u8(a.high), as_u8(b.high)))};
  }
  /// Each byte becomes 255 where a and b are equal, else 0.
  TERN_INLINE static reg equal_bytes(reg a, reg b) {
    return {as_words(vceqq_u8(as_u8(a.low), as_u8(b.low))),
            as_words(vceqq_u8(as_u8(a.high), as_u8(b.high)))};
  }
  /// Sixteen bytes, twice.
  TERN_INLINE static uint8x16x2_t repeat(const std::uint8_t* p) {
    return {vld1q_u8(p), vld1q_u8(p)};
  }
  /// For each byte i of `index` byte i of a repeated table; the low four bits of i count, and the
  /// result is 0 where i is 32 or more.
  TERN_INLINE static reg look_up(uint8x16x2_t table, reg index) {
    return {as_words(vqtbl2q_u8(table, as_u8(index.low))),
            as_words(vqtbl2q_u8(table, as_u8(index.high)))};
  }
  /// In each byte the bits from `first` on that are set in `mask`.
  template <int first, int mask>
  TERN_INLINE static reg field(reg q) {
    return {field<first, mask>(q.low), field<first, mask>(q.high)};
  }
  /// Each int32 shifted to the right, with its sign.
  template <int bits>
  TERN_INLINE static reg shift_sums(reg a) {
    return {vshrq_n_s32(a.low, bits), vshrq_n_s32(a.high, bits)};
  }

  /// Numbers of type float in the places of a register's int32.
  struct reals {
    float32x4_t low, high;
  };
  TERN_INLINE static reals load_reals(const float* p) { return {vld1q_f32(p), vld1q_f32(p + 4)}; }
  TERN_INLINE static void store_reals(float* p, reals r) {
    vst1q_f32(p, r.low);
    vst1q_f32(p + 4, r.high);
  }
  /// total + a * scales, rounded after each operation.
  TERN_INLINE static reals scaled(reals total, reg a, reals scales) {
    return {scaled(total.low, a.low, scales.low), scaled(total.high, a.high, scales.high)};
  }

 private:
  TERN_INLINE static float32x4_t scaled(float32x4_t total, int32x4_t a, float32x4_t scales) {
    float32x4_t product = vmulq_f32(vcvtq_f32_s32(a), scales);
    __asm__("" : "+w"(product));  // rounds here: no addition is fused with the product
    return vaddq_f32(total, product);
  }
  TERN_INLINE static uint8x16_t as_u8(int32x4_t a) { return vreinterpretq_u8_s32(a); }
  TERN_INLINE static int32x4_t as_words(uint8x16_t a) { return vreinterpretq_s32_u8(a); }
  template <int first, int mask>
  TERN_INLINE static int32x4_t field(int32x4_t q) {
    uint8x16_t d = as_u8(q);
    if constexpr (first > 0) d = vshrq_n_u8(d, first);
    if constexpr (mask != 0xFF >> first) d = vandq_u8(d, vdupq_n_u8(mask));
    return as_words(d);
  }
};

}  // namespace tern::inline TERN_ABI::isa::neon
#endif
