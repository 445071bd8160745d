// One token against `two_bit` weights, included once per level inside its region. Where digits may
// stay multiplied by their place, each of the four planes of a block has its own accumulator: a
// mask and no shift, the sums are put to scale at the end. Elsewhere the planes share one.

inline constexpr std::size_t block_regs = sizeof(packed_block) / ops::bytes;
inline constexpr std::size_t plane_sums = ops::plane_bits == 0 ? 1 : 4;

/// What products are added up in, until ops::widen.
using sum = decltype(ops::zero());

/// The operand for a plane of the 16 columns of a token at x: four neighbouring ones in every lane,
/// or what the level has in its place.
template <int plane, class level = ops>
TERN_INLINE auto columns(const std::int8_t* x) {
  if constexpr (requires { level::template columns<plane>(x); }) {
    return level::template columns<plane>(x);
  } else {
    std::int32_t four;
    std::memcpy(&four, x + 4 * plane, sizeof four);
    return level::fill(four);
  }
}

/// Digits of a plane for the accumulator that it has.
template <int plane, class level = ops>
TERN_INLINE ops::reg matvec_digits(ops::reg q) {
  if constexpr (level::plane_bits == 0)
    return level::template digits<plane>(q);
  else
    return level::template scaled_digits<plane>(q);
}

template <int plane, class X, std::size_t n, std::size_t... r>
TERN_INLINE void matvec_step(sum (&sums)[plane_sums][n], const ops::reg (&q)[n], X x,
                             std::index_sequence<r...>) {
  sum(&a)[n] = sums[plane % plane_sums];
  ((a[r] = ops::dot(a[r], matvec_digits<plane>(q[r]), x)), ...);
}

/// What a plane's accumulators hold, added to the total.
template <int plane, class level = ops, std::size_t n, std::size_t... r>
TERN_INLINE void add_plane(ops::reg (&total)[n], const sum (&sums)[plane_sums][n],
                           std::index_sequence<r...>) {
  if constexpr (plane == 0)
    ((total[r] = ops::add(total[r], ops::widen(sums[0][r]))), ...);
  else if constexpr (plane < plane_sums)
    ((total[r] = ops::add(total[r], level::template unscale<plane>(ops::widen(sums[plane][r])))),
     ...);
}

/// Registers of `panels` panels side by side: [0, panels * block_regs).
template <std::size_t... r>
inline void matvec_tile(const problem<two_bit>& p, std::size_t panel, const std::int8_t* x,
                        std::int32_t* sums, std::index_sequence<r...> regs) {
  constexpr std::size_t n = sizeof...(r);
  const std::size_t blocks = p.weights.panel_blocks(), stride = blocks * sizeof(packed_block);
  const auto* w = p.weights.panel(panel)->bytes.data();
  constexpr std::size_t chunk = ops::max_dots / (4 / plane_sums);
  ops::reg total[n] = {(static_cast<void>(r), ops::fill(0))...};
  for (std::size_t done = 0; done < blocks;) {
    const std::size_t stop = blocks - done < chunk ? blocks : done + chunk;
    sum a[plane_sums][n] = {};
    for (; done < stop; ++done, w += sizeof(packed_block), x += two_bit::cols) {
      const auto x0 = columns<0>(x);
      const auto x1 = columns<1>(x);
      const auto x2 = columns<2>(x);
      const auto x3 = columns<3>(x);
      const ops::reg q[n] = {
          ops::load(w + r / block_regs * stride + r % block_regs * ops::bytes)...};
      matvec_step<0>(a, q, x0, regs);
      matvec_step<1>(a, q, x1, regs);
      matvec_step<2>(a, q, x2, regs);
      matvec_step<3>(a, q, x3, regs);
    }
    add_plane<0>(total, a, regs);
    add_plane<1>(total, a, regs);
    add_plane<2>(total, a, regs);
    add_plane<3>(total, a, regs);
  }
  (ops::store(sums + r * (ops::bytes / 4), total[r]), ...);
}

/// Rows of panels [begin, end) for token n.
inline void matvec(const problem<two_bit>& p, std::size_t begin, std::size_t end, std::size_t n) {
  constexpr std::size_t wide = ops::matvec_panels;
  const std::int8_t* x = p.x + n * p.x_stride;
  std::int32_t sums[wide * two_bit::rows];
  while (begin < end) {
    const std::size_t panels = end - begin >= wide ? wide : 1;
    if (panels == wide)
      matvec_tile(p, begin, x, sums, std::make_index_sequence<wide * block_regs>{});
    else
      matvec_tile(p, begin, x, sums, std::make_index_sequence<block_regs>{});
    const std::size_t row = begin * two_bit::rows, left = p.weights.rows - row;
    const std::size_t rows = left < panels * two_bit::rows ? left : panels * two_bit::rows;
    std::int32_t* out = p.out + n * p.out_stride + row;
    for (std::size_t i = 0; i < rows; ++i) out[i] = sums[i] - p.row_sums[n];
    begin += panels;
  }
}
