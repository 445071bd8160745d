// Dot products for levels that multiply bytes to int16, included in the level's region behind an
// alias `registers`.
//
// A pair of digits 0..2 times int8 lies in [-512, 508]: 64 steps add up to [-32768, 32512], which
// int16 holds exactly, then `widen` moves them to int32. Digits of a matvec that are left
// multiplied by 4 allow 16 steps. Nothing saturates or wraps.

struct int16_sums : registers {
  static constexpr std::size_t max_dots = 64;
  static constexpr int max_digit = 8;  // for max_dots / 4 dot products

  TERN_INLINE static reg dot(reg sum, reg digits, reg x) {
    sum = registers::add_words(sum, registers::multiply_bytes(digits, x));
    __asm__("" : "+v"(sum));  // else g++ adds products in a tree that needs too many registers
    return sum;
  }
  TERN_INLINE static reg widen(reg sum) { return registers::add_pairs(sum, 1); }
  /// The same for digits up to `largest`, exact in int32.
  template <int largest>
  TERN_INLINE static reg dot_wide(reg sum, reg digits, reg x) {
    if constexpr (largest < 128) {
      return registers::add(sum, widen(registers::multiply_bytes(digits, x)));
    } else {
      const reg low = registers::multiply_bytes(registers::template field<0, 15>(digits), x);
      const reg high = registers::multiply_bytes(registers::template field<4, 15>(digits), x);
      return registers::add(sum, registers::add(widen(low), registers::add_pairs(high, 16)));
    }
  }
};
