// Several tokens times packed weights. A tile is two registers of rows times a few tokens, and all
// its sums are in registers. Many tokens share digits that are unpacked to bytes once; few tokens
// take the digits from the packed lines.

/// Rows of a tile.
inline constexpr std::size_t tile_rows = 2 * (ops::bytes / 4);

/// Takes the digits of one packed line after another. The two registers of a tile are
/// `reg_stride` bytes apart.
template <class Format>
struct packed_digits {
  using format = digit_reader<Format>;
  const std::uint8_t* w;
  std::size_t reg_stride;

  struct line {
    decltype(format::decode(ops::load(nullptr))) reg[2];
    template <int plane, std::size_t r>
    TERN_INLINE ops::reg get() const {
      return format::template digits<plane>(reg[r]);
    }
  };
  TERN_INLINE line take() {
    __builtin_prefetch(w + 1024);  // for the reason that matvec_tile() gives
    if constexpr (tile_rows > Format::rows) __builtin_prefetch(w + reg_stride + 1024);
    const line taken{{format::decode(ops::load(w)), format::decode(ops::load(w + reg_stride))}};
    w += sizeof(packed_line);
    return taken;
  }
};

/// Takes the digits from bytes, where each plane has two registers.
template <class Format>
struct plain_digits {
  static constexpr std::size_t line_bytes = Format::cols / 4 * 2 * ops::bytes;
  const std::uint8_t* w;

  struct line {
    const std::uint8_t* w;
    template <int plane, std::size_t r>
    TERN_INLINE ops::reg get() const {
      return ops::load(w + (2 * plane + r) * ops::bytes);
    }
  };
  TERN_INLINE line take() {
    const line taken{w};
    w += line_bytes;
    return taken;
  }
};

/// Adds the products of a plane. At x stand four columns of each token of a tile, one token after
/// the other.
template <class Format, int plane, class Line, std::size_t... t>
TERN_INLINE void tile_step(const Line& line, const std::int8_t* x, sum (&a)[sizeof...(t)],
                           sum (&b)[sizeof...(t)], std::index_sequence<t...>) {
  const ops::reg u = line.template get<plane, 0>(), v = line.template get<plane, 1>();
  const auto step = [&](sum & first, sum & second, auto four) __attribute__((always_inline)) {
    first = dot<Format>(first, u, four);
    second = dot<Format>(second, v, four);
  };
  (step(a[t], b[t], columns<t % 4>(x + 4 * (plane * sizeof...(t) + t - t % 4))), ...);
}

/// Adds the products of the columns of a line.
template <class Format, class Line, std::size_t n, std::size_t... plane>
TERN_INLINE void tile_line(const Line& line, const std::int8_t* x, sum (&a)[n], sum (&b)[n],
                           std::index_sequence<plane...>) {
  (tile_step<Format, plane>(line, x, a, b, std::make_index_sequence<n>{}), ...);
}

/// Computes out[t][0 .. tile_rows) over the columns of `lines` lines. The sums start with
/// least_code * row_sums[t], or, where row_sums is null, with what `out` holds.
template <class Format, class Digits, std::size_t... t>
[[gnu::noinline]] void tile(Digits digits, const std::int8_t* x, std::size_t lines,
                            const std::int32_t* row_sums, std::int32_t* out, std::size_t out_stride,
                            std::index_sequence<t...>) {
  sum a[] = {(static_cast<void>(t), ops::zero())...}, b[] = {a[t]...};
  for (; lines != 0; --lines, x += Format::cols * sizeof...(t))
    tile_line<Format>(digits.take(), x, a, b, plane_indices<Format>{});
  const auto finish = [&](sum products, std::int32_t * to, std::size_t token)
      __attribute__((always_inline)) {
    const ops::reg start =
        row_sums != nullptr ? ops::fill(Format::least_code * row_sums[token]) : ops::load(to);
    ops::store(to, ops::add(start, widen<Format>(products)));
  };
  (finish(a[t], out + t * out_stride, t), ...);
  (finish(b[t], out + t * out_stride + tile_rows / 2, t), ...);
}

/// Calls tile() for n tokens, where first <= n < first + sizeof...(i).
template <class Format, std::size_t first, class Digits, std::size_t... i>
inline void tile_of(std::size_t n, Digits digits, const std::int8_t* x, std::size_t lines,
                    const std::int32_t* row_sums, std::int32_t* out, std::size_t out_stride,
                    std::index_sequence<i...>) {
  ((n == first + i ? tile<Format>(digits, x, lines, row_sums, out, out_stride,
                                  std::make_index_sequence<first + i>{})
                   : void()),
   ...);
}

/// Unpacks the digits of a tile's rows to bytes, as plain_digits reads them.
template <class Format, std::size_t... plane>
inline void unpack_digits(packed_digits<Format> from, std::size_t lines, std::uint8_t* to,
                          std::index_sequence<plane...>) {
  for (; lines != 0; --lines, to += plain_digits<Format>::line_bytes) {
    const auto line = from.take();
    (ops::store(to + 2 * plane * ops::bytes, line.template get<plane, 0>()), ...);
    (ops::store(to + (2 * plane + 1) * ops::bytes, line.template get<plane, 1>()), ...);
  }
}

/// Copies `rows` numbers of each token.
inline void copy_rows(const std::int32_t* from, std::size_t from_stride, std::int32_t* to,
                      std::size_t to_stride, std::size_t tokens, std::size_t rows) {
  for (std::size_t t = 0; t < tokens; ++t)
    std::memcpy(to + t * to_stride, from + t * from_stride, rows * sizeof *to);
}

/// Multiplies up to tile_rows rows from `row` on with all groups of a task, over the columns of
/// lines [line, line + lines).
template <class Format>
inline void group(const problem<Format>& p, const typename problem<Format>::range& task,
                  std::size_t row, std::size_t row_end, std::size_t line, std::size_t lines,
                  std::uint8_t* bytes) {
  constexpr std::size_t most = ops::tile_tokens, least = (most + 1) / 2,
                        fewest = ops::matvec_tokens + 1;
  const std::size_t left = row_end - row, rows = left < tile_rows ? left : tile_rows;
  // Where a tile of two panels has only one left, it takes that panel twice.
  const bool whole = left > Format::rows;
  const packed_digits<Format> packed{
      p.weights.panel(row / Format::rows)[line].bytes.data() + row % Format::rows * 4,
      tile_rows <= Format::rows
          ? ops::bytes
          : static_cast<std::size_t>(whole) * p.weights.panel_stride * sizeof(packed_line)};
  const bool few = p.parts.groups <= digit_reader<Format>::direct_groups;
  if (!few) unpack_digits(packed, lines, bytes, plane_indices<Format>{});
  for (std::size_t g = task.group; g < task.group_end; ++g) {
    const std::size_t token = p.parts.first(g), n = p.parts.first(g + 1) - token;
    const std::int8_t* x = p.x + token * p.x_stride + n * line * Format::cols;
    const std::int32_t* row_sums = line == 0 ? p.row_sums + token : nullptr;
    std::int32_t* out = p.out + token * p.out_stride + row;
    std::int32_t edge[most * tile_rows];
    const bool direct = rows == tile_rows;
    std::int32_t* to = direct ? out : edge;
    const std::size_t to_stride = direct ? p.out_stride : tile_rows;
    if (!direct && row_sums == nullptr) copy_rows(out, p.out_stride, edge, tile_rows, n, rows);
    if (few)
      tile_of<Format, fewest>(n, packed, x, lines, row_sums, to, to_stride,
                              std::make_index_sequence<most - fewest + 1>{});
    else
      tile_of<Format, least>(n, plain_digits<Format>{bytes}, x, lines, row_sums, to, to_stride,
                             std::make_index_sequence<most - least + 1>{});
    if (!direct) copy_rows(edge, tile_rows, out, p.out_stride, n, rows);
  }
}

/// The most tokens of a group where there are `tokens` in all; 0 where each token has a matvec of
/// its own.
inline std::size_t group_size(std::size_t tokens) {
  return tokens <= ops::matvec_tokens ? 0 : ops::tile_tokens;
}

/// Lines whose digits are unpacked at a time: at most 64, and no more than may be added up
/// before `widen`.
template <class Format>
inline constexpr std::size_t unpacked_lines =
    max_dots<Format> / (Format::cols / 4) < 64 ? max_dots<Format> / (Format::cols / 4) : 64;

/// Bytes of their digits.
template <class Format>
inline constexpr std::size_t unpacked_bytes =
    unpacked_lines<Format> * plain_digits<Format>::line_bytes;

/// Tasks [begin, end) of the problem. Where tokens stand in groups, `bytes` points to
/// unpacked_bytes<Format> of memory that begin at a cache line.
template <class Format>
inline void compute(const problem<Format>& p, std::size_t begin, std::size_t end,
                    std::uint8_t* bytes) {
  constexpr std::size_t most = unpacked_lines<Format>;
  const std::size_t lines = p.weights.panel_lines();
  const std::size_t chunks = (lines + most - 1) / most, chunk = (lines + chunks - 1) / chunks;
  for (std::size_t i = begin; i < end; ++i) {
    const auto t = p.task(i);
    if (!p.grouped) {
      for (std::size_t n = 0; n < p.tokens(); ++n) matvec(p, t.panel, t.panel_end, n);
      continue;
    }
    const std::size_t end_of_panels = t.panel_end * Format::rows;
    const std::size_t row_end = end_of_panels < p.weights.rows ? end_of_panels : p.weights.rows;
    for (std::size_t row = t.panel * Format::rows; row < row_end; row += tile_rows)
      for (std::size_t line = 0; line < lines; line += chunk)
        group(p, t, row, row_end, line, lines - line < chunk ? lines - line : chunk, bytes);
  }
}

/// The functions of the level.
template <class Format>
inline constexpr entry<Format> entry_of{compute<Format>, group_size, unpacked_bytes<Format>};
