// rms_norm of rows and the quantization of the result, included once for each level
// inside its region. The sum of squares has one order at all levels; the other operations are those
// of single elements. So all these levels give the same bits.
//
// ops has the operations of isa/registers/ on floats, and
//   codes            the operations of quant/absmax_row.hpp on integers
//   parts            the number of registers that hold 32 floats
//   add_eight        a + p[i]^2, i < 8, for the first eight elements of a; squares are not rounded
//   store_eight      stores the numbers (s[i] + s[8 + i]) + (s[16 + i] + s[24 + i]), i < 8
//   magnitude        the bits of |a|
//   round            a as integers, rounded half to even

/// The sum of x[i]^2. There are 32 sums: of each whole group of 32 elements square i is added to
/// sum i, then of each group of eight to one of the first eight sums, without rounding the squares;
/// last come the rounded squares of the elements that are left. The 32 sums become eight, which are
/// added one after the other.
TERN_INLINE float sum_of_squares(const float* x, std::size_t n) {
  ops::reg sum[ops::parts];
#pragma GCC unroll 4
  for (std::size_t k = 0; k < ops::parts; ++k) sum[k] = ops::zero();
  std::size_t i = 0;
  for (; i + 32 <= n; i += 32)
#pragma GCC unroll 4
    for (std::size_t k = 0; k < ops::parts; ++k) {
      const ops::reg v = ops::load(x + i + k * ops::lanes);
      sum[k] = ops::multiply_add(v, v, sum[k]);
    }
  for (; i + 8 <= n; i += 8) sum[0] = ops::add_eight(sum[0], x + i);
  if (i < n) {
    const ops::reg v = ops::load(x + i, n - i);
    sum[0] = ops::add(sum[0], ops::multiply(v, v));
  }
  float eight[8];
  ops::store_eight(eight, sum);
  float total = 0;
  for (const float each : eight) total += each;
  return total;
}

/// The first n <= lanes elements of x[i] * factor * gain[i]; zeros stand behind them. A null gain
/// stands for ones.
TERN_INLINE ops::reg scaled(const float* x, const float* gain, ops::reg factor, std::size_t n) {
  const ops::reg v = ops::multiply(ops::load(x, n), factor);
  return gain == nullptr ? v : ops::multiply(v, ops::load(gain, n));
}

/// Calls f(i, n) for every register of a row: for elements [i, i + n).
template <class F>
TERN_INLINE void for_each_register(std::size_t size, F f) {
  std::size_t i = 0;
  for (; i + ops::lanes <= size; i += ops::lanes) f(i, ops::lanes);
  if (i < size) f(i, size - i);
}

/// y[i] = x[i] * factor * gain[i].
TERN_INLINE void scale(const float* x, const float* gain, std::size_t n, float factor, float* y) {
  const ops::reg factors = ops::fill(factor);
  for_each_register(
      n, [&](std::size_t i, std::size_t here) __attribute__((always_inline)) {
        ops::store(y + i, scaled(x + i, gain == nullptr ? gain : gain + i, factors, here), here);
      });
}

/// The largest magnitude of the row that scale() makes; it is not finite where a value is not.
TERN_INLINE float max_scaled(const float* x, const float* gain, std::size_t n, float factor) {
  const ops::reg factors = ops::fill(factor);
  ops::codes::reg most = ops::codes::fill(0);
  for_each_register(
      n, [&](std::size_t i, std::size_t here) __attribute__((always_inline)) {
        most = ops::codes::max(
            most, ops::magnitude(scaled(x + i, gain == nullptr ? gain : gain + i, factors, here)));
      });
  const std::int32_t bits = ops::codes::largest(most);
  float g;
  std::memcpy(&g, &bits, sizeof g);
  return g;
}

/// Stores the row that scale() makes times `by`, rounded half to even, as codes, which must fit
/// into int8. Returns their sum.
TERN_INLINE std::int32_t store_codes(const float* x, const float* gain, std::size_t n, float factor,
                                     float by, std::int8_t* codes) {
  constexpr std::size_t lanes = ops::lanes, group = 4 * lanes;
  const ops::reg factors = ops::fill(factor), bys = ops::fill(by);
  const auto code = [&](std::size_t i, std::size_t here) __attribute__((always_inline)) {
    return ops::round(
        ops::multiply(scaled(x + i, gain == nullptr ? gain : gain + i, factors, here), bys));
  };
  ops::codes::reg sums = ops::codes::fill(0);
  const auto join = [&](ops::codes::reg a, ops::codes::reg b, ops::codes::reg c, ops::codes::reg d)
      __attribute__((always_inline)) {
    sums = ops::codes::add(sums, ops::codes::add(ops::codes::add(a, b), ops::codes::add(c, d)));
    return ops::codes::narrow(a, b, c, d);
  };
  std::size_t i = 0;
  for (; i + group <= n; i += group)
    ops::codes::store(codes + i, join(code(i, lanes), code(i + lanes, lanes),
                                      code(i + 2 * lanes, lanes), code(i + 3 * lanes, lanes)));
  if (i < n) {
    ops::codes::reg part[4];
    for (std::size_t k = 0; k < 4; ++k) {
      const std::size_t at = i + k * lanes, left = at < n ? n - at : 0;
      part[k] = left == 0 ? ops::codes::fill(0) : code(at, left < lanes ? left : lanes);
    }
    alignas(64) std::int8_t last[group];
    ops::codes::store(last, join(part[0], part[1], part[2], part[3]));
    std::memcpy(codes + i, last, n - i);
  }
  return ops::codes::total(sums);
}

/// 1 / sqrt(mean(x^2) + eps) in `inverse`; false where the mean is not finite.
TERN_INLINE bool inverse_root_mean(const float* x, std::size_t n, float eps, float& inverse) {
  const float mean = sum_of_squares(x, n) / static_cast<float>(n);
  inverse = 1 / __builtin_sqrtf(mean + eps);
  return is_finite(mean);
}

/// As row_functions::normalize says.
inline std::size_t normalize(const norm_arguments& a, float* y, std::size_t y_stride,
                             float* inverses, std::size_t inverse_step) {
  for (std::size_t r = 0; r < a.rows; ++r) {
    const float* const x = a.x + r * a.x_stride;
    float inverse;
    if (!inverse_root_mean(x, a.cols, a.eps, inverse)) return r;
    if (inverses != nullptr) inverses[r * inverse_step] = inverse;
    scale(x, a.gain, a.cols, inverse, y + r * y_stride);
  }
  return a.rows;
}

/// As row_functions::quantize says.
inline std::size_t quantize(const norm_arguments& a, float eps, std::int8_t* codes, float* scales,
                            std::int32_t* sums) {
  for (std::size_t r = 0; r < a.rows; ++r) {
    const float* const x = a.x + r * a.x_stride;
    float inverse;
    if (!inverse_root_mean(x, a.cols, a.eps, inverse)) return r;
    const float g = max_scaled(x, a.gain, a.cols, inverse);
    if (!is_finite(g)) return r;
    scales[r] = g / 127;
    sums[r] = store_codes(x, a.gain, a.cols, inverse, 127 / (g + eps), codes + r * a.cols);
  }
  return a.rows;
}
