// The two passes of absmax_int8 over a token, included once for each level inside its region.
// Neither pass adds a product to anything, so that no operations are fused: the bits are those of
// the definition.

/// Values whose codes fill a register.
inline constexpr std::size_t group = 4 * ops::lanes;

/// The next group of values. The last values of a token are copied to `part`, where zeros follow.
TERN_INLINE const float* whole_group(const float* x, std::size_t left, float (&part)[group]) {
  if (left >= group) return x;
  std::memcpy(part, x, left * sizeof(float));
  return part;
}

/// The largest |x[i]|; it is not finite where a value is not. Magnitudes have the order of their
/// bits: first the finite ones, then infinity, then NaN.
inline float max_abs(const float* x, std::size_t n) {
  alignas(64) float part[group] = {};
  ops::reg a = ops::fill(0), b = a, c = a, d = a;
  for (std::size_t i = 0; i < n; i += group) {
    const float* from = whole_group(x + i, n - i, part);
    a = ops::max(a, ops::magnitude(from));
    b = ops::max(b, ops::magnitude(from + ops::lanes));
    c = ops::max(c, ops::magnitude(from + 2 * ops::lanes));
    d = ops::max(d, ops::magnitude(from + 3 * ops::lanes));
  }
  const std::int32_t most = ops::largest(ops::max(ops::max(a, b), ops::max(c, d)));
  float g;
  std::memcpy(&g, &most, sizeof g);
  return g;
}

/// codes[i] = x[i] * factor, rounded half to even, which must fit into int8. Returns their sum.
inline std::int32_t store_codes(const float* x, std::size_t n, float factor, std::int8_t* codes) {
  alignas(64) float part[group] = {};
  const auto factors = ops::fill(factor);
  ops::reg sums = ops::fill(0);
  for (std::size_t i = 0; i < n; i += group) {
    const float* from = whole_group(x + i, n - i, part);
    const ops::reg a = ops::round(from, factors), b = ops::round(from + ops::lanes, factors),
                   c = ops::round(from + 2 * ops::lanes, factors),
                   d = ops::round(from + 3 * ops::lanes, factors);
    sums = ops::add(sums, ops::add(ops::add(a, b), ops::add(c, d)));
    const ops::reg bytes = ops::narrow(a, b, c, d);
    if (n - i >= group) {
      ops::store(codes + i, bytes);
    } else {
      alignas(64) std::int8_t last[group];
      ops::store(last, bytes);
      std::memcpy(codes + i, last, n - i);
    }
  }
  return ops::total(sums);
}
