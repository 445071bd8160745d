// Digits of `base3` lines by tables of sixteen bytes. All digits of a register are found together,
// with 18 operations, and are not multiplied by anything. A level that has a better way adds the
// specialisation digit_reader<base3>, which is preferred to this one.

template <std::same_as<base3> Format>
struct digit_reader<Format> {
  /// Two accumulators where dot products have a long latency and would wait for each other.
  static constexpr std::size_t sums = ops::max_dots < 1000 ? 1 : 2;
  static constexpr std::size_t most_scaled = 1;
  static constexpr std::size_t direct_groups = 1;

  struct all {
    ops::reg plane[5];
  };

  TERN_INLINE static all decode(ops::reg q) {
    using tables = base3_tables_16;
    const ops::reg high = ops::template field<4, 15>(q);
    const ops::reg rest = ops::sub_bytes(q, look_up(tables::least_upper, high));
    const ops::reg lower = reduce<28>(rest);
    // One less where the upper part is the least one that its four bits allow.
    const ops::reg upper = ops::add_bytes(high, ops::equal_bytes(lower, rest));
    const ops::reg ninth = reduce<9>(reduce<9>(lower));
    return {look_up(tables::lower_digit<0>, ninth), look_up(tables::lower_digit<1>, ninth),
            look_up(tables::ninths, ops::sub_bytes(lower, ninth)),
            look_up(tables::upper_digit<3>, upper), look_up(tables::upper_digit<4>, upper)};
  }
  template <int plane>
  TERN_INLINE static ops::reg digits(const all& d) {
    return d.plane[plane];
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(const all& d) {
    return d.plane[plane];
  }
  template <int sum>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    return total;
  }

 private:
  TERN_INLINE static ops::reg look_up(const base3_tables_16::table& table, ops::reg index) {
    return ops::look_up(ops::repeat(table.data()), index);
  }
  /// a - n where that is not negative, else a: a negative difference wraps to a larger byte.
  template <int n>
  TERN_INLINE static ops::reg reduce(ops::reg a) {
    return ops::min_bytes(a, ops::sub_bytes(a, ops::fill(n * 0x01010101)));
  }
};
