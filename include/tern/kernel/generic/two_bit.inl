// Digits of `two_bit` lines. Where a dot product takes larger digits than 2, the digits of a
// matvec may stay multiplied by the value of their place: they need a mask and no shift, each plane
// has an accumulator of its own, and the sums are divided at the end.

/// How to take digits out of the packed registers of a format. Each format has a specialisation.
template <class Format>
struct digit_reader;

template <>
struct digit_reader<two_bit> {
  /// The number of accumulators that a matvec has for each register; plane p adds to p % sums.
  static constexpr std::size_t sums = ops::max_digit < 8 ? 1 : ops::max_digit < 32 ? 2 : 4;

  /// The largest factor that digits of a matvec are left multiplied by.
  static constexpr std::size_t most_scaled = sums == 1 ? 1 : sums == 2 ? 4 : 64;

  /// Up to this number of groups of tokens, digits are not worth unpacking to memory.
  static constexpr std::size_t direct_groups = 2;

  /// What all planes share: here the packed bytes as they are.
  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }

  /// The digits of a plane: 0, 1 or 2.
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return ops::template field<2 * plane, 3>(q);
  }

  /// The same digits multiplied by a power of two, for the accumulator of the plane.
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    return ops::template field<2 * plane - place<plane>, (3 << place<plane>)>(q);
  }

  /// Divides a widened accumulator by the factor of its digits.
  template <int sum, class level = ops>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    if constexpr (place<sum> == 0)
      return total;
    else
      return level::template shift_sums<place<sum>>(total);
  }

 private:
  /// The exponent of the factor. With two accumulators one shift serves two planes, and one of them
  /// needs none.
  static constexpr int place_of(int plane) {
    if (sums == 2) return plane % 2 * 2;
    return sums == 4 && 2 << (2 * plane) <= ops::max_digit ? 2 * plane : 0;
  }
  template <int plane>
  static constexpr int place = place_of(plane);
};
