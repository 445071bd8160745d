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
    __builtin_prefetch(w + 1024);  // for the reason that matvec_line() gives
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

/// Adds the products of a plane. At x stand four columns of each of x_tokens tokens, one token
/// after the other; those of the tile come first.
template <class Format, int plane, class Line, std::size_t... t>
TERN_INLINE void tile_step(const Line& line, const std::int8_t* x, std::size_t x_tokens,
                           sum (&a)[sizeof...(t)], sum (&b)[sizeof...(t)],
                           std::index_sequence<t...>) {
  const ops::reg u = line.template get<plane, 0>(), v = line.template get<plane, 1>();
  const auto step = [&](sum & first, sum & second, auto four) __attribute__((always_inline)) {
    first = dot<Format>(first, u, four);
    second = dot<Format>(second, v, four);
  };
  (step(a[t], b[t], columns<t % 4>(x + 4 * (plane * x_tokens + t - t % 4))), ...);
}

/// Adds the products of the columns of a line.
template <class Format, class Line, std::size_t n, std::size_t... plane>
TERN_INLINE void tile_line(const Line& line, const std::int8_t* x, std::size_t x_tokens,
                           sum (&a)[n], sum (&b)[n], std::index_sequence<plane...>) {
  (tile_step<Format, plane>(line, x, x_tokens, a, b, std::make_index_sequence<n>{}), ...);
}

/// What a tile leaves: sums, which start with starts[t], and with what they are where `more` says
/// so. Where y is not null, the sums of each group of columns are scaled and added to y instead.
/// Rows of `sums` and y are `stride` apart.
struct tile_result {
  const std::int32_t* starts;
  std::int32_t* sums;
  bool more;
  float* y;
  std::size_t stride;
  std::size_t group_lines;  ///< lines of a group of columns
  std::size_t starts_step;  ///< from one group of columns to the next
  const float* w_scales;    ///< of the tile's rows, group after group
};

/// Where the sums of a token begin to be added up.
template <class Format, class level = ops>
TERN_INLINE sum first_sum(std::int32_t start) {
  if constexpr (sums_start<Format>)
    return level::fill(start);
  else
    return ops::zero();
}

/// The sums of a token as int32.
template <class Format>
TERN_INLINE ops::reg last_sum(sum s, std::int32_t start) {
  if constexpr (sums_start<Format>)
    return widen<Format>(s);
  else
    return ops::add(ops::fill(start), widen<Format>(s));
}

/// Multiplies the tile's rows with sizeof...(t) tokens over the columns of `lines` lines.
template <class Format, class Digits, std::size_t... t>
[[gnu::noinline]] void tile(Digits digits, const std::int8_t* x, std::size_t lines,
                            const tile_result& to, std::index_sequence<t...>) {
  constexpr std::size_t half = tile_rows / 2;
  const std::int32_t* starts = to.starts;
  const float* w_scales = to.w_scales;
  const std::size_t group_lines = to.group_lines, stride = to.stride;
  std::int32_t* const sums = to.sums;
  float* const y = to.y;
  do {
    std::size_t left = lines < group_lines ? lines : group_lines;
    lines -= left;
    sum a[] = {first_sum<Format>(starts[t])...}, b[] = {a[t]...};
    for (; left != 0; --left, x += Format::cols * sizeof...(t))
      tile_line<Format>(digits.take(), x, sizeof...(t), a, b, plane_indices<Format>{});
    if (y != nullptr) {
      const auto first = ops::load_reals(w_scales), second = ops::load_reals(w_scales + half);
      const auto scale = [&](std::size_t token) __attribute__((always_inline)) {
        float* const at = y + token * stride;
        add_scaled(at, last_sum<Format>(a[token], starts[token]), first);
        add_scaled(at + half, last_sum<Format>(b[token], starts[token]), second);
      };
      (scale(t), ...);
    } else {
      const auto keep = [&](sum products, std::int32_t * at, std::size_t token)
          __attribute__((always_inline)) {
        const ops::reg now = last_sum<Format>(products, starts[token]);
        ops::store(at, to.more ? ops::add(ops::load(at), now) : now);
      };
      (keep(a[t], sums + t * stride, t), ...);
      (keep(b[t], sums + t * stride + half, t), ...);
    }
    starts += to.starts_step;
    w_scales += tile_rows;
  } while (lines != 0);
}

/// The same for short groups of columns; their totals stay in registers, too. If each group loaded
/// and stored them, stores of 64 bytes would take cycles from the dot products: on Zen 5, two of
/// them keep one of the two units busy for a cycle. So a tile has only half of the x_tokens that
/// stand side by side at x.
template <class Format, std::size_t... t>
[[gnu::noinline]] void totals_tile(plain_digits<Format> digits, const std::int8_t* x,
                                   std::size_t x_tokens, std::size_t lines, const tile_result& to,
                                   std::index_sequence<t...>) {
  constexpr std::size_t half = tile_rows / 2;
  const std::int32_t* starts = to.starts;
  const float* w_scales = to.w_scales;
  typename ops::reals first[] = {ops::load_reals(to.y + t * to.stride)...},
                      second[] = {ops::load_reals(to.y + t * to.stride + half)...};
  do {
    std::size_t left = lines < to.group_lines ? lines : to.group_lines;
    lines -= left;
    sum a[] = {first_sum<Format>(starts[t])...}, b[] = {a[t]...};
    for (; left != 0; --left, x += Format::cols * x_tokens)
      tile_line<Format>(digits.take(), x, x_tokens, a, b, plane_indices<Format>{});
    const auto u = ops::load_reals(w_scales), v = ops::load_reals(w_scales + half);
    ((first[t] = ops::scaled(first[t], last_sum<Format>(a[t], starts[t]), u)), ...);
    ((second[t] = ops::scaled(second[t], last_sum<Format>(b[t], starts[t]), v)), ...);
    starts += to.starts_step;
    w_scales += tile_rows;
  } while (lines != 0);
  (ops::store_reals(to.y + t * to.stride, first[t]), ...);
  (ops::store_reals(to.y + t * to.stride + half, second[t]), ...);
}

/// Calls f(std::make_index_sequence<n>), where first <= n < first + sizeof...(i).
template <std::size_t first, class F, std::size_t... i>
inline void with_count(std::size_t n, const F& f, std::index_sequence<i...>) {
  ((n == first + i ? f(std::make_index_sequence<first + i>{}) : void()), ...);
}

/// Calls totals_tile() for both halves of n tokens, where least <= n <= ops::tile_tokens.
template <class Format, std::size_t least>
inline void totals_tiles(std::size_t n, plain_digits<Format> digits, const std::int8_t* x,
                         std::size_t lines, tile_result to) {
  if constexpr (ops::register_totals != 0) {
    constexpr std::size_t fewest = least / 2, most = (ops::tile_tokens + 1) / 2;
    for (std::size_t done = 0; done < n;) {
      const std::size_t now = done == 0 ? (n + 1) / 2 : n - done;
      with_count<fewest>(
          now,
          [&](auto tokens) { totals_tile<Format>(digits, x + 4 * done, n, lines, to, tokens); },
          std::make_index_sequence<most - fewest + 1>{});
      to.y += now * to.stride;
      to.starts += now;
      done += now;
    }
  }
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
template <class T>
inline void copy_rows(const T* from, std::size_t from_stride, T* to, std::size_t to_stride,
                      std::size_t tokens, std::size_t rows) {
  for (std::size_t t = 0; t < tokens; ++t)
    std::memcpy(to + t * to_stride, from + t * from_stride, rows * sizeof *to);
}

/// Lines whose digits are unpacked at a time: at most 64, and no more than may be added up
/// before `widen`.
template <class Format>
inline constexpr std::size_t unpacked_lines =
    max_dots<Format> / (Format::cols / 4) < 64 ? max_dots<Format> / (Format::cols / 4) : 64;

/// Bytes of their digits.
template <class Format>
inline constexpr std::size_t digit_bytes =
    unpacked_lines<Format> * plain_digits<Format>::line_bytes;

/// Bytes of their digits and, behind them, of a scale for each row and group of columns.
template <class Format>
inline constexpr std::size_t unpacked_bytes =
    digit_bytes<Format> + unpacked_lines<Format> * tile_rows * sizeof(float);

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
  const group_scaling& scaling = p.scaling;
  const bool scaled = scaling.totals != nullptr, direct = rows == tile_rows;
  const std::size_t group_lines = scaled ? p.group_lines() : lines, first = line / group_lines;
  auto* const w_scales = reinterpret_cast<float*>(bytes + digit_bytes<Format>);
  const std::size_t groups = scaled ? (lines + group_lines - 1) / group_lines : 0;
  if (!few) unpack_digits(packed, lines, bytes, plane_indices<Format>{});
  constexpr std::size_t in_panel = tile_rows < Format::rows ? tile_rows : Format::rows;
  for (std::size_t i = 0; i < tile_rows; i += in_panel)
    for (std::size_t g = 0; g < groups; ++g)
      scaling.copy<in_panel>(row + i, rows < i ? 0 : rows - i, first + g,
                             w_scales + g * tile_rows + i);
  for (std::size_t g = task.group; g < task.group_end; ++g) {
    const std::size_t token = p.parts.first(g), n = p.parts.first(g + 1) - token;
    const std::int8_t* x = p.x + token * p.x_stride + n * (p.x_first + line * Format::cols);
    const auto multiply = [&](const tile_result& to) {
      if (few)
        with_count<fewest>(
            n, [&](auto tokens) { tile<Format>(packed, x, lines, to, tokens); },
            std::make_index_sequence<most - fewest + 1>{});
      else if (scaled && p.weights.scale_cols <= ops::register_totals)
        totals_tiles<Format, least>(n, {bytes}, x, lines, to);
      else
        with_count<least>(
            n,
            [&](auto tokens) { tile<Format>(plain_digits<Format>{bytes}, x, lines, to, tokens); },
            std::make_index_sequence<most - least + 1>{});
    };
    if (scaled) {
      float edge[most * tile_rows];
      float* const y = scaling.totals + token * scaling.stride + row;
      if (!direct) copy_rows(y, scaling.stride, edge, tile_rows, n, rows);
      multiply({p.starts + first * p.starts_step + token, nullptr, false, direct ? y : edge,
                direct ? scaling.stride : tile_rows, group_lines, p.starts_step, w_scales});
      if (!direct) copy_rows(edge, tile_rows, y, scaling.stride, n, rows);
    } else {
      static constexpr std::int32_t zeros[most] = {};
      const bool more = line != 0;
      std::int32_t edge[most * tile_rows];
      std::int32_t* const out = p.out + token * p.out_stride + row;
      if (!direct && more) copy_rows(out, p.out_stride, edge, tile_rows, n, rows);
      multiply({more ? zeros : p.starts + token, direct ? out : edge, more, nullptr,
                direct ? p.out_stride : tile_rows, group_lines, 0, nullptr});
      if (!direct) copy_rows(edge, tile_rows, out, p.out_stride, n, rows);
    }
  }
}

/// The most tokens of a group where there are `tokens` in all; 0 where each token has a matvec of
/// its own.
inline std::size_t group_size(std::size_t tokens) {
  return tokens <= ops::matvec_tokens ? 0 : ops::tile_tokens;
}

/// Tasks [begin, end) of the problem. Where tokens stand in groups, `bytes` points to
/// unpacked_bytes<Format> of memory that begin at a cache line.
template <class Format>
inline void compute(const problem<Format>& p, std::size_t begin, std::size_t end,
                    std::uint8_t* bytes) {
  // Chunks of lines; where sums are scaled, of whole groups of columns.
  const std::size_t lines = p.weights.panel_lines(),
                    unit = p.scaling.totals == nullptr ? 1 : p.group_lines(),
                    units = (lines + unit - 1) / unit, most = unpacked_lines<Format> / unit,
                    chunks = (units + most - 1) / most,
                    chunk = (units + chunks - 1) / chunks * unit;
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
inline constexpr entry<Format> entry_of{compute<Format>, group_size, unpacked_bytes<Format>,
                                        unpacked_lines<Format>};
