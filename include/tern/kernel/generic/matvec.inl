// One token times packed weights. A plane is four neighbouring columns of all rows of a line.

/// Registers that a line fills.
inline constexpr std::size_t line_regs = sizeof(packed_line) / ops::bytes;

template <class Format>
using plane_indices = std::make_index_sequence<Format::cols / 4>;

/// What `dot` adds products up in, until widen().
using sum = decltype(ops::zero());

/// Whether digits of the format are too large for the level's `dot`, so that `dot_wide` multiplies
/// them.
template <class Format, class level = ops>
inline constexpr bool is_wide = level::max_digit < Format::max_digit;

/// The number of dot products that may be added before widen().
template <class Format>
inline constexpr std::size_t max_dots =
    is_wide<Format> ? std::numeric_limits<std::size_t>::max() : ops::max_dots;

/// Whether what dot() adds up in holds int32, so that sums may begin with any number.
template <class Format>
inline constexpr bool sums_start = max_dots<Format> == std::numeric_limits<std::size_t>::max();

template <class Format, class X, class level = ops>
TERN_INLINE sum dot(sum s, ops::reg digits, X x) {
  if constexpr (is_wide<Format>)
    return level::template dot_wide<Format::max_digit>(s, digits, x);
  else
    return level::dot(s, digits, x);
}

template <class Format, class Sum>
TERN_INLINE ops::reg widen(Sum s) {
  if constexpr (is_wide<Format>)
    return s;
  else
    return ops::widen(s);
}

/// The operand of `dot` for a plane of a token's columns at x: four neighbouring columns in every
/// 32 bits, or what ops::columns makes of them.
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

/// Adds the products of a plane of a line.
template <class Format, std::size_t plane, class Digits, class X, std::size_t... r>
TERN_INLINE void matvec_step(sum (&sums)[digit_reader<Format>::sums][line_regs],
                             const Digits (&q)[line_regs], X x, std::index_sequence<r...>) {
  using format = digit_reader<Format>;
  sum(&a)[line_regs] = sums[plane % format::sums];
  ((a[r] = dot<Format>(a[r], format::template sum_digits<plane>(q[r]), x)), ...);
}

/// Weights and scales are fetched so many lines before they are used, since processors by
/// themselves do not read far enough ahead. On a Zen 5, 96 lines were better than 16 and 32, and
/// not told apart from 64 and 128.
inline constexpr std::size_t lines_ahead = 96;

/// Adds the products of the line at w and its columns of a token at x.
template <class Format, std::size_t... r, std::size_t... plane>
TERN_INLINE void matvec_line(sum (&sums)[digit_reader<Format>::sums][line_regs],
                             const std::uint8_t* w, const std::int8_t* x,
                             std::index_sequence<r...> regs, std::index_sequence<plane...>) {
  __builtin_prefetch(w + lines_ahead * sizeof(packed_line));
  using digits = decltype(digit_reader<Format>::decode(ops::load(w)));
  const digits q[line_regs] = {digit_reader<Format>::decode(ops::load(w + r * ops::bytes))...};
  (matvec_step<Format, plane>(sums, q, columns<plane>(x), regs), ...);
}

/// Adds the products of lines that follow each other, which have sums of their own.
template <class Format, std::size_t... line>
TERN_INLINE void matvec_lines(sum (&sums)[sizeof...(line)][digit_reader<Format>::sums][line_regs],
                              const std::uint8_t* w, const std::int8_t* x,
                              std::index_sequence<line...>) {
  (matvec_line<Format>(sums[line], w + line * sizeof(packed_line), x + line * Format::cols,
                       std::make_index_sequence<line_regs>{}, plane_indices<Format>{}),
   ...);
}

/// Adds what the accumulators hold to the totals.
template <class Format, std::size_t... s>
TERN_INLINE void add_sums(ops::reg (&total)[line_regs],
                          const sum (&sums)[digit_reader<Format>::sums][line_regs],
                          std::index_sequence<s...>) {
  for (std::size_t r = 0; r < line_regs; ++r)
    ((total[r] =
          ops::add(total[r], digit_reader<Format>::template unscale<s>(widen<Format>(sums[s][r])))),
     ...);
}

/// The rest of a panel's line after line, and of the token's columns.
struct line_reader {
  const std::uint8_t* w;
  const std::int8_t* x;
};

/// Lines that a matvec multiplies at once, so that it has as many accumulators as the level needs.
template <class Format, class level = ops>
inline constexpr std::size_t lines_at_once =
    level::matvec_sums < 2 * digit_reader<Format>::sums * line_regs
        ? 1
        : level::matvec_sums / (digit_reader<Format>::sums * line_regs);

/// Adds the products of the next `lines` lines, `side` at once. They are read in the order in which
/// they lie in memory: that is faster than several panels side by side.
template <class Format, std::size_t side = lines_at_once<Format>>
TERN_INLINE void add_lines(ops::reg (&total)[line_regs], line_reader& at, std::size_t lines) {
  using format = digit_reader<Format>;
  constexpr std::size_t dots = max_dots<Format> / format::most_scaled,
                        chunk = dots / ((Format::cols / 4 + format::sums - 1) / format::sums);
  while (lines >= side) {
    std::size_t steps = lines / side < chunk ? lines / side : chunk;
    lines -= steps * side;
    sum a[side][format::sums][line_regs] = {};
    for (; steps > 0; --steps) {
      matvec_lines<Format>(a, at.w, at.x, std::make_index_sequence<side>{});
      at.w += side * sizeof(packed_line);
      at.x += side * Format::cols;
    }
    for (std::size_t i = 0; i < side; ++i)
      add_sums<Format>(total, a[i], std::make_index_sequence<format::sums>{});
  }
  if constexpr (side > 1) add_lines<Format, side / 2>(total, at, lines);
}

/// What a matvec of one token leaves for a panel: its sums, or, where y is not null, real numbers
/// that it adds to y.
struct matvec_result {
  std::int32_t* sums;
  float* y;
  const float* w_scales;     ///< those of the first group, side by side; else null
  std::size_t scales_ahead;  ///< elements to the scales of panels that are lines_ahead
};

/// y[i] += sums[i] * scales[i] for a register of sums, rounded after each operation.
TERN_INLINE void add_scaled(float* y, ops::reg sums, typename ops::reals scales) {
  ops::store_reals(y, ops::scaled(ops::load_reals(y), sums, scales));
}

/// Adds the scaled sums of a group of columns to y, for the panel at `row`. `rows` rows of the
/// weights are left there.
template <std::size_t... r>
TERN_INLINE void add_scaled(const group_scaling& scaling, std::size_t row, std::size_t rows,
                            std::size_t group, const matvec_result& to,
                            const ops::reg (&sums)[sizeof...(r)], std::index_sequence<r...>) {
  constexpr std::size_t lanes = ops::bytes / 4, n = sizeof...(r) * lanes;
  float few[n];
  const float* scales = few;
  if (to.w_scales != nullptr) {
    scales = to.w_scales + group * scaling.w_scales.col_stride;
    __builtin_prefetch(scales + to.scales_ahead);
  } else {
    scaling.copy<n>(row, rows, group, few);
  }
  (add_scaled(to.y + r * lanes, sums[r], ops::load_reals(scales + r * lanes)), ...);
}

/// Multiplies a panel with a token; r are the indices of a line's registers.
template <class Format, std::size_t... r>
inline void matvec_panel(const problem<Format>& p, std::size_t panel, std::size_t token,
                         const matvec_result& to, std::index_sequence<r...> regs) {
  const std::size_t lines = p.weights.panel_lines(), group_lines = p.group_lines();
  line_reader at{p.weights.panel(panel)->bytes.data(), p.x + token * p.x_stride + p.x_first};
  const std::int32_t* starts = p.starts + token;
  const std::size_t row = panel * Format::rows;
  for (std::size_t left = lines, group = 0; left > 0; ++group, starts += p.starts_step) {
    const std::size_t now = left < group_lines ? left : group_lines;
    left -= now;
    const ops::reg start = ops::fill(*starts);
    ops::reg total[line_regs] = {(static_cast<void>(r), start)...};
    add_lines<Format>(total, at, now);
    if (to.y == nullptr)
      (ops::store(to.sums + r * (ops::bytes / 4), total[r]), ...);
    else
      add_scaled(p.scaling, row, p.weights.rows - row, group, to, total, regs);
  }
}

/// Computes the results of token n for the rows of panels [begin, end).
template <class Format>
inline void matvec(const problem<Format>& p, std::size_t begin, std::size_t end, std::size_t n) {
  std::int32_t sums[Format::rows];
  float edge[Format::rows];
  const std::size_t lines = p.weights.panel_lines(),
                    panels_ahead = lines == 0 ? 0 : (lines_ahead + lines - 1) / lines;
  for (std::size_t panel = begin; panel < end; ++panel) {
    const std::size_t row = panel * Format::rows, left = p.weights.rows - row,
                      rows = left < Format::rows ? left : Format::rows;
    float* const y =
        p.scaling.totals == nullptr ? nullptr : p.scaling.totals + n * p.scaling.stride + row;
    const bool direct = y == nullptr || rows == Format::rows;
    if (!direct) std::memcpy(edge, y, rows * sizeof *y);
    const matvec_result to{sums, direct ? y : edge,
                           y == nullptr ? nullptr : p.scaling.dense(row, left, Format::rows),
                           panels_ahead * p.scaling.w_scales.panel_stride};
    matvec_panel(p, panel, n, to, std::make_index_sequence<line_regs>{});
    if (!direct)
      std::memcpy(y, edge, rows * sizeof *y);
    else if (y == nullptr)
      std::memcpy(p.out + n * p.out_stride + row, sums, rows * sizeof *sums);
  }
}
