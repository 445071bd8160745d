// Digits of `four_bit` and `eight_bit` lines. Levels whose `dot` adds products up in int16
// multiply them by ops::dot_wide, which adds in int32.

template <>
struct digit_reader<four_bit> {
  /// Two accumulators where a dot product takes digits of 240: the upper half of a byte needs no
  /// shift.
  static constexpr std::size_t sums = ops::max_digit < 255 ? 1 : 2;
  static constexpr std::size_t most_scaled = sums == 1 ? 1 : 16, direct_groups = 2;

  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return ops::template field<4 * plane, 15>(q);
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    if constexpr (sums > 1 && plane == 1)
      return ops::template field<0, 240>(q);
    else
      return digits<plane>(q);
  }
  template <int sum, class level = ops>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    if constexpr (sum == 1)
      return level::template shift_sums<4>(total);
    else
      return total;
  }
};

template <>
struct digit_reader<eight_bit> {
  static constexpr std::size_t sums = 1, most_scaled = 1, direct_groups = 2;

  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return q;
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    return q;
  }
  template <int sum>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    return total;
  }
};
