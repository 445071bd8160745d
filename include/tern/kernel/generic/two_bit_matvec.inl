// One token against `two_bit` weights, included once per level inside its region. Each of the four
// planes of a block has its own accumulator, so digits need a mask and no shift; the sums are put
// to scale at the end.

inline constexpr std::size_t block_regs = sizeof(packed_block) / ops::bytes;

/// Four neighbouring columns of a token in every lane.
TERN_INLINE ops::reg broadcast(const std::int8_t* x) {
  std::int32_t four;
  std::memcpy(&four, x, sizeof four);
  return ops::fill(four);
}

/// Registers of `panels` panels side by side: [0, panels * block_regs).
template <std::size_t... r>
inline void matvec_tile(const problem<two_bit>& p, std::size_t panel, const std::int8_t* x,
                        std::int32_t* sums, std::index_sequence<r...>) {
  constexpr std::size_t n = sizeof...(r);
  const std::size_t blocks = p.weights.panel_blocks(), stride = blocks * sizeof(packed_block);
  const auto* w = p.weights.panel(panel)->bytes.data();
  constexpr std::size_t chunk = ops::max_dots;
  ops::reg total[n] = {(static_cast<void>(r), ops::zero())...};
  for (std::size_t done = 0; done < blocks;) {
    const std::size_t stop = blocks - done < chunk ? blocks : done + chunk;
    ops::reg a0[n] = {(static_cast<void>(r), ops::zero())...}, a1[n] = {a0[r]...},
             a2[n] = {a0[r]...}, a3[n] = {a0[r]...};
    for (; done < stop; ++done, w += sizeof(packed_block), x += two_bit::cols) {
      const ops::reg x0 = broadcast(x), x1 = broadcast(x + 4), x2 = broadcast(x + 8),
                     x3 = broadcast(x + 12);
      const ops::reg q[n] = {
          ops::load(w + r / block_regs * stride + r % block_regs * ops::bytes)...};
      ((a0[r] = ops::dot(a0[r], ops::scaled_digits<0>(q[r]), x0)), ...);
      ((a1[r] = ops::dot(a1[r], ops::scaled_digits<1>(q[r]), x1)), ...);
      ((a2[r] = ops::dot(a2[r], ops::scaled_digits<2>(q[r]), x2)), ...);
      ((a3[r] = ops::dot(a3[r], ops::scaled_digits<3>(q[r]), x3)), ...);
    }
    ((total[r] = ops::add(total[r], ops::add(ops::add(ops::unscale<0>(ops::widen(a0[r])),
                                                      ops::unscale<1>(ops::widen(a1[r]))),
                                             ops::add(ops::unscale<2>(ops::widen(a2[r])),
                                                      ops::unscale<3>(ops::widen(a3[r])))))),
     ...);
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
