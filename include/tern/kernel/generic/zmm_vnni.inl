// Dot products of 512 bits: what the levels with AVX-512 VNNI share, included once per level inside
// its region.

#include "tern/kernel/generic/zmm.inl"

struct ops : zmm {
  static constexpr std::size_t tile_tokens = 12;
  static constexpr std::size_t matvec_tokens = 2;  // up to which each has its own matvec
  /// Dot products that may be added before `widen`.
  static constexpr std::size_t max_dots = std::numeric_limits<std::size_t>::max();
  static constexpr int max_digit = 255;  // that `dot` is exact for

  TERN_INLINE static reg dot(reg sum, reg digits, reg x) {
    sum = _mm512_dpbusd_epi32(sum, digits, x);
    __asm__("" : "+v"(sum));  // else g++ moves sums from register to register
    return sum;
  }
  TERN_INLINE static reg widen(reg sum) { return sum; }
};
