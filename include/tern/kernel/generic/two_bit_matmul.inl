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

/// Where the tokens of a tile are: a pointer to every fourth row and the strides between, few
/// enough to stay in registers. g++ would keep an address for each token and plane on the stack,
/// so `next` hides from it how they hang together.
template <std::size_t tokens>
struct token_rows {
  const std::int8_t *low, *middle, *high;
  std::size_t stride, three_strides;

  TERN_INLINE token_rows(const std::int8_t* x, std::size_t x_stride)
      : low(x),
        middle(tokens > 4 ? x + 4 * x_stride : x),
        high(tokens > 8 ? x + 8 * x_stride : x),
        stride(x_stride),
        three_strides(3 * x_stride) {}
  template <int plane, std::size_t t>
  TERN_INLINE auto get() const {
    static_assert(t < tokens && tokens <= 12);
    const std::size_t offset = t % 4 == 3 ? three_strides : t % 4 * stride;
    return columns<plane>((t < 4 ? low : t < 8 ? middle : high) + offset);
  }
  TERN_INLINE void next() {
    low += two_bit::cols, middle += two_bit::cols, high += two_bit::cols;
    __asm__("" : "+r"(low), "+r"(middle), "+r"(high));
  }
};

template <int plane, class Digits, std::size_t... t>
TERN_INLINE void tile_step(const Digits& digits, const token_rows<sizeof...(t)>& rows,
                           sum (&a)[sizeof...(t)], sum (&b)[sizeof...(t)],
                           std::index_sequence<t...>) {
  const ops::reg u = digits.template get<plane, 0>(), v = digits.template get<plane, 1>();
  const auto step = [&](sum & first, sum & second, auto x) __attribute__((always_inline)) {
    first = ops::dot(first, u, x);
    second = ops::dot(second, v, x);
  };
  (step(a[t], b[t], rows.template get<plane, t>()), ...);
}

/// out[t][0 .. tile_rows) = (row_sums ? -row_sums[t] : out[t][..]) + dot products over `blocks`.
template <class Digits, std::size_t... t>
[[gnu::noinline]] void tile(Digits digits, const std::int8_t* x, std::size_t x_stride,
                            std::size_t blocks, const std::int32_t* row_sums, std::int32_t* out,
                            std::size_t out_stride, std::index_sequence<t...> tokens) {
  sum a[] = {(static_cast<void>(t), ops::zero())...}, b[] = {a[t]...};
  token_rows<sizeof...(t)> rows(x, x_stride);
  for (; blocks != 0; --blocks, rows.next(), digits.next()) {
    tile_step<0>(digits, rows, a, b, tokens);
    tile_step<1>(digits, rows, a, b, tokens);
    tile_step<2>(digits, rows, a, b, tokens);
    tile_step<3>(digits, rows, a, b, tokens);
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
inline void tile_of(std::size_t n, Digits digits, const std::int8_t* x, std::size_t x_stride,
                    std::size_t blocks, const std::int32_t* row_sums, std::int32_t* out,
                    std::size_t out_stride, std::index_sequence<i...>) {
  ((n == first + i ? tile(digits, x, x_stride, blocks, row_sums, out, out_stride,
                          std::make_index_sequence<first + i>{})
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

/// Up to tile_rows rows from `row` on, all tokens of a task, over blocks of columns
/// [block, block + blocks).
inline void group(const problem<two_bit>& p, std::size_t row, std::size_t row_end,
                  std::size_t token, std::size_t token_end, std::size_t block, std::size_t blocks,
                  std::uint8_t* bytes) {
  constexpr std::size_t most = ops::tile_tokens, least = (most + 1) / 2,
                        fewest = ops::matvec_tokens + 1;
  const std::size_t left = row_end - row, rows = left < tile_rows ? left : tile_rows;
  const bool whole = left > two_bit::rows;  // else a tile of two panels takes the last one twice
  const packed_digits packed{
      p.weights.panel(row / two_bit::rows)[block].bytes.data() + row % two_bit::rows * 4,
      tile_rows <= two_bit::rows
          ? ops::bytes
          : static_cast<std::size_t>(whole) * p.weights.panel_blocks() * sizeof(packed_block)};
  const std::size_t tokens = token_end - token;
  if (tokens > most) unpack_digits(packed, blocks, bytes);
  for (std::size_t tiles = (tokens + most - 1) / most; tiles != 0; --tiles) {
    const std::size_t n = (token_end - token + tiles - 1) / tiles;
    const std::int8_t* x = p.x + token * p.x_stride + block * two_bit::cols;
    const std::int32_t* row_sums = block == 0 ? p.row_sums + token : nullptr;
    std::int32_t* out = p.out + token * p.out_stride + row;
    std::int32_t edge[most * tile_rows];
    const bool direct = rows == tile_rows;
    std::int32_t* to = direct ? out : edge;
    const std::size_t to_stride = direct ? p.out_stride : tile_rows;
    if (!direct && row_sums == nullptr) copy_rows(out, p.out_stride, edge, tile_rows, n, rows);
    if (tokens > most)
      tile_of<least>(n, plain_digits{bytes}, x, p.x_stride, blocks, row_sums, to, to_stride,
                     std::make_index_sequence<most - least + 1>{});
    else
      tile_of<fewest>(n, packed, x, p.x_stride, blocks, row_sums, to, to_stride,
                      std::make_index_sequence<most - fewest + 1>{});
    if (!direct) copy_rows(edge, tile_rows, out, p.out_stride, n, rows);
    token += n;
  }
}

/// Tasks [begin, end) of the problem: the entry point of the level.
inline void run(const problem<two_bit>& p, std::size_t begin, std::size_t end) {
  constexpr std::size_t chunk = ops::max_dots / 4 < 32 ? ops::max_dots / 4 : 32;
  alignas(64) std::uint8_t bytes[chunk * 8 * ops::bytes];
  const std::size_t blocks = p.weights.panel_blocks();
  for (std::size_t i = begin; i < end; ++i) {
    const auto t = p.task(i);
    if (t.token_end - t.token <= ops::matvec_tokens) {
      for (std::size_t n = t.token; n < t.token_end; ++n) matvec(p, t.panel, t.panel_end, n);
      continue;
    }
    const std::size_t end_of_panels = t.panel_end * two_bit::rows;
    const std::size_t row_end = end_of_panels < p.weights.rows ? end_of_panels : p.weights.rows;
    for (std::size_t row = t.panel * two_bit::rows; row < row_end; row += tile_rows)
      for (std::size_t b = 0; b < blocks; b += chunk)
        group(p, row, row_end, t.token, t.token_end, b, blocks - b < chunk ? blocks - b : chunk,
              bytes);
  }
}
