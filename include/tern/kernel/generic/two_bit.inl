// Digits of `two_bit` blocks, included once per level inside its region. Where a dot product takes
// larger digits than 2, those of a matvec may stay multiplied by their place: a mask and no shift,
// an accumulator for each plane, and the sums are put to scale at the end.

/// How digits come out of the packed registers of a format, one specialisation to a format.
template <class Format>
struct decoder;

template <>
struct decoder<two_bit> {
  /// Accumulators that a matvec has to a register; plane p adds to number p % sums.
  static constexpr std::size_t sums = ops::max_digit < 8 ? 1 : ops::max_digit < 32 ? 2 : 4;

  /// What digits of a matvec are multiplied by at most.
  static constexpr std::size_t most_scaled = sums == 1 ? 1 : sums == 2 ? 4 : 64;

  /// Groups of tokens up to which digits are not worth unpacking.
  static constexpr std::size_t direct_groups = 2;

  /// What the digits of all planes are read from.
  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }

  /// Digits 0, 1, 2 of a plane.
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return ops::template field<2 * plane, 3>(q);
  }

  /// The same for the accumulator of the plane, multiplied by a power of two.
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    return ops::template field<2 * plane - place<plane>, (3 << place<plane>)>(q);
  }

  /// What an accumulator holds, widened, divided by what its digits were multiplied by.
  template <int sum, class level = ops>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    if constexpr (place<sum> == 0)
      return total;
    else
      return level::template shift_sums<place<sum>>(total);
  }

 private:
  /// Two sums: one shift serves two planes, one of which stays where it is.
  static constexpr int place_of(int plane) {
    if (sums == 2) return plane % 2 * 2;
    return sums == 4 && 2 << (2 * plane) <= ops::max_digit ? 2 * plane : 0;
  }
  template <int plane>
  static constexpr int place = place_of(plane);
};
