// Several tokens against `two_bit` weights, included once per level inside its region, after
// two_bit_matvec.inl. A tile is two registers of rows times a few tokens, all sums in registers.
// Many tokens share digits that are unpacked once to bytes; few take them from the packed blocks.

inline constexpr std::size_t tile_rows = 2 * (ops::bytes / 4);

/// Digits of the next block of 16 columns, from packed blocks `reg_stride` bytes apart.
struct packed_digits {
  const std::uint8_t* w;
  std::size_t reg_stride;
  template <int plane, std::size_t r>
  TERN_INLINE ops::reg get() const {
    return ops::digits<plane>(ops::load(w + r * reg_stride));
  }
  TERN_INLINE void next() { w += sizeof(packed_block); }
};

/// The same from bytes: plane after plane, two registers each.
struct plain_digits {
  const std::uint8_t* w;
  template <int plane, std::size_t r>
  TERN_INLINE ops::reg get() const {
    return ops::load(w + (2 * plane + r) * ops::bytes);
  }
  TERN_INLINE void next() { w += 8 * ops::bytes; }
};

/// x: the four columns of a plane for each token of a tile, one token after the other.
template <int plane, class Digits, std::size_t... t>
TERN_INLINE void tile_step(const Digits& digits, const std::int8_t* x, sum (&a)[sizeof...(t)],
                           sum (&b)[sizeof...(t)], std::index_sequence<t...>) {
  const ops::reg u = digits.template get<plane, 0>(), v = digits.template get<plane, 1>();
  const auto step = [&](sum & first, sum & second, auto four) __attribute__((always_inline)) {
    first = ops::dot(first, u, four);
    second = ops::dot(second, v, four);
  };
  (step(a[t], b[t], columns<t % 4>(x + 4 * (plane * sizeof...(t) + t - t % 4))), ...);
}

/// out[t][0 .. tile_rows) = (row_sums ? -row_sums[t] : out[t][..]) + dot products over `blocks`.
template <class Digits, std::size_t... t>
[[gnu::noinline]] void tile(Digits digits, const std::int8_t* x, std::size_t blocks,
                            const std::int32_t* row_sums, std::int32_t* out, std::size_t out_stride,
                            std::index_sequence<t...> tokens) {
  sum a[] = {(static_cast<void>(t), ops::zero())...}, b[] = {a[t]...};
  for (; blocks != 0; --blocks, x += two_bit::cols * sizeof...(t), digits.next()) {
    tile_step<0>(digits, x, a, b, tokens);
    tile_step<1>(digits, x, a, b, tokens);
    tile_step<2>(digits, x, a, b, tokens);
    tile_step<3>(digits, x, a, b, tokens);
  }
  const auto finish = [&](sum products, std::int32_t * to, std::size_t token)
      __attribute__((always_inline)) {
    const ops::reg start = row_sums != nullptr ? ops::fill(-row_sums[token]) : ops::load(to);
    ops::store(to, ops::add(start, ops::widen(products)));
  };
  (finish(a[t], out + t * out_stride, t), ...);
  (finish(b[t], out + t * out_stride + tile_rows / 2, t), ...);
}

/// The tile of `n` tokens, first <= n < first + sizeof...(i).
template <std::size_t first, class Digits, std::size_t... i>
inline void tile_of(std::size_t n, Digits digits, const std::int8_t* x, std::size_t blocks,
                    const std::int32_t* row_sums, std::int32_t* out, std::size_t out_stride,
                    std::index_sequence<i...>) {
  ((n == first + i
        ? tile(digits, x, blocks, row_sums, out, out_stride, std::make_index_sequence<first + i>{})
        : void()),
   ...);
}

inline void unpack_digits(packed_digits from, std::size_t blocks, std::uint8_t* to) {
  for (; blocks != 0; --blocks, from.next(), to += 8 * ops::bytes) {
    ops::store(to, from.get<0, 0>());
    ops::store(to + ops::bytes, from.get<0, 1>());
    ops::store(to + 2 * ops::bytes, from.get<1, 0>());
    ops::store(to + 3 * ops::bytes, from.get<1, 1>());
    ops::store(to + 4 * ops::bytes, from.get<2, 0>());
    ops::store(to + 5 * ops::bytes, from.get<2, 1>());
    ops::store(to + 6 * ops::bytes, from.get<3, 0>());
    ops::store(to + 7 * ops::bytes, from.get<3, 1>());
  }
}

inline void copy_rows(const std::int32_t* from, std::size_t from_stride, std::int32_t* to,
                      std::size_t to_stride, std::size_t tokens, std::size_t rows) {
  for (std::size_t t = 0; t < tokens; ++t)
    std::memcpy(to + t * to_stride, from + t * from_stride, rows * sizeof *to);
}

/// Up to tile_rows rows from `row` on, all groups of a task, over blocks of columns
/// [block, block + blocks).
inline void group(const problem<two_bit>& p, const problem<two_bit>::range& task, std::size_t row,
                  std::size_t row_end, std::size_t block, std::size_t blocks, std::uint8_t* bytes) {
  constexpr std::size_t most = ops::tile_tokens, least = (most + 1) / 2,
                        fewest = ops::matvec_tokens + 1;
  const std::size_t left = row_end - row, rows = left < tile_rows ? left : tile_rows;
  const bool whole = left > two_bit::rows;  // else a tile of two panels takes the last one twice
  const packed_digits packed{
      p.weights.panel(row / two_bit::rows)[block].bytes.data() + row % two_bit::rows * 4,
      tile_rows <= two_bit::rows
          ? ops::bytes
          : static_cast<std::size_t>(whole) * p.weights.panel_blocks() * sizeof(packed_block)};
  const bool few = p.parts.groups <= 2;
  if (!few) unpack_digits(packed, blocks, bytes);
  for (std::size_t g = task.group; g < task.group_end; ++g) {
    const std::size_t token = p.parts.first(g), n = p.parts.first(g + 1) - token;
    const std::int8_t* x = p.x + token * p.x_stride + n * block * two_bit::cols;
    const std::int32_t* row_sums = block == 0 ? p.row_sums + token : nullptr;
    std::int32_t* out = p.out + token * p.out_stride + row;
    std::int32_t edge[most * tile_rows];
    const bool direct = rows == tile_rows;
    std::int32_t* to = direct ? out : edge;
    const std::size_t to_stride = direct ? p.out_stride : tile_rows;
    if (!direct && row_sums == nullptr) copy_rows(out, p.out_stride, edge, tile_rows, n, rows);
    if (few)
      tile_of<fewest>(n, packed, x, blocks, row_sums, to, to_stride,
                      std::make_index_sequence<most - fewest + 1>{});
    else
      tile_of<least>(n, plain_digits{bytes}, x, blocks, row_sums, to, to_stride,
                     std::make_index_sequence<most - least + 1>{});
    if (!direct) copy_rows(edge, tile_rows, out, p.out_stride, n, rows);
  }
}

/// Most tokens of a group where there are `tokens` in all; 0 where each has its own matvec.
inline std::size_t group_size(std::size_t tokens) {
  return tokens <= ops::matvec_tokens ? 0 : ops::tile_tokens;
}

/// Tasks [begin, end) of the problem.
inline void run(const problem<two_bit>& p, std::size_t begin, std::size_t end) {
  constexpr std::size_t chunk = ops::max_dots / 4 < 64 ? ops::max_dots / 4 : 64;
  alignas(64) std::uint8_t bytes[chunk * 8 * ops::bytes];
  const std::size_t blocks = p.weights.panel_blocks();
  for (std::size_t i = begin; i < end; ++i) {
    const auto t = p.task(i);
    if (!p.grouped) {
      for (std::size_t n = 0; n < p.tokens; ++n) matvec(p, t.panel, t.panel_end, n);
      continue;
    }
    const std::size_t end_of_panels = t.panel_end * two_bit::rows;
    const std::size_t row_end = end_of_panels < p.weights.rows ? end_of_panels : p.weights.rows;
    for (std::size_t row = t.panel * two_bit::rows; row < row_end; row += tile_rows)
      for (std::size_t b = 0; b < blocks; b += chunk)
        group(p, t, row, row_end, b, blocks - b < chunk ? blocks - b : chunk, bytes);
  }
}
