// rescale for a block of sums, included once for each level inside its region. No operation is
// fused with another one, so that all levels give the same bits.
//
// ops has the operations of isa/registers/ on floats, and
//   to_floats   the first n <= lanes numbers of 32 bits as floats; zeros stand behind them

/// The first n <= lanes elements of a row from column c on. The tails of a row have n < lanes.
template <bool more, bool totals>
TERN_INLINE void rescale_part(const rescale_arguments& a, std::size_t row, std::size_t c,
                              std::size_t n, ops::reg x_scale) {
  const std::size_t at = row * a.stride + c;
  ops::reg v;
  if constexpr (totals) {
    v = ops::multiply(ops::load(a.totals + at, n), x_scale);
  } else {
    const ops::reg w_scale =
        a.w_step == 0 ? ops::fill(a.w_scales[0]) : ops::load(a.w_scales + c, n);
    v = ops::multiply(ops::to_floats(a.sums + at, n), ops::multiply(x_scale, w_scale));
  }
  if constexpr (more) {
    if (a.bias != nullptr) v = ops::add(v, ops::load(a.bias + c, n));
    if (a.addend != nullptr) v = ops::add(v, ops::load(a.addend + row * a.addend_stride + c, n));
  }
  ops::store(a.y + row * a.y_stride + c, v, n);
}

/// Rows of y are far apart in memory, so each is fetched while this number of rows before it is
/// written.
inline constexpr std::size_t rows_ahead = 8;

template <bool more, bool totals>
TERN_INLINE void rescale_rows(const rescale_arguments& a) {
  for (std::size_t r = 0; r < a.rows; ++r) {
    const ops::reg x_scale = ops::fill(a.x_scales[r * a.x_step]);
    if (r + rows_ahead < a.rows)
      for (std::size_t i = 0; i < a.cols; i += 16)
        __builtin_prefetch(a.y + (r + rows_ahead) * a.y_stride + i, 1);
    std::size_t c = 0;
    for (; c + ops::lanes <= a.cols; c += ops::lanes)
      rescale_part<more, totals>(a, r, c, ops::lanes, x_scale);
    if (c < a.cols) rescale_part<more, totals>(a, r, c, a.cols - c, x_scale);
  }
}

/// Computes y of the arguments.
inline void rescale_block(const rescale_arguments& a) {
  const bool more = a.bias != nullptr || a.addend != nullptr;
  if (a.totals != nullptr)
    more ? rescale_rows<true, true>(a) : rescale_rows<false, true>(a);
  else
    more ? rescale_rows<true, false>(a) : rescale_rows<false, false>(a);
}
