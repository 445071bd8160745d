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

/// Adds the products of a plane, for n registers of weights.
template <class Format, std::size_t plane, std::size_t n, class Digits, class X, std::size_t... r>
TERN_INLINE void matvec_step(sum (&sums)[digit_reader<Format>::sums][n], const Digits (&q)[n], X x,
                             std::index_sequence<r...>) {
  using format = digit_reader<Format>;
  sum(&a)[n] = sums[plane % format::sums];
  ((a[r] = dot<Format>(a[r], format::template sum_digits<plane>(q[r]), x)), ...);
}

/// Adds the products of the columns of a line, for n registers of weights.
template <class Format, std::size_t n, class Digits, std::size_t... plane>
TERN_INLINE void matvec_line(sum (&sums)[digit_reader<Format>::sums][n], const Digits (&q)[n],
                             const std::int8_t* x, std::index_sequence<plane...>) {
  (matvec_step<Format, plane>(sums, q, columns<plane>(x), std::make_index_sequence<n>{}), ...);
}

/// Adds what the accumulators hold to the totals.
template <class Format, std::size_t n, std::size_t... s>
TERN_INLINE void add_sums(ops::reg (&total)[n], const sum (&sums)[digit_reader<Format>::sums][n],
                          std::index_sequence<s...>) {
  for (std::size_t r = 0; r < n; ++r)
    ((total[r] =
          ops::add(total[r], digit_reader<Format>::template unscale<s>(widen<Format>(sums[s][r])))),
     ...);
}

/// What a matvec of one token leaves for some panels: their sums, or, where y is not null, real
/// numbers that it adds to y.
struct matvec_result {
  std::int32_t* sums;
  float* y;
  const float* w_scales;  ///< those of the first group, side by side; else null
};

/// Adds the scaled sums of a group of columns to y, for panels from `row` on. `rows` rows of the
/// weights are left there.
template <std::size_t... r>
TERN_INLINE void add_scaled(const group_scaling& scaling, float x_scale, std::size_t row,
                            std::size_t rows, std::size_t group, const matvec_result& to,
                            const ops::reg (&sums)[sizeof...(r)], std::index_sequence<r...>) {
  constexpr std::size_t lanes = ops::bytes / 4, n = sizeof...(r) * lanes;
  float few[n];
  const float* scales = few;
  if (to.w_scales != nullptr) {
    const std::size_t stride = scaling.group_stride();
    scales = to.w_scales + group * stride;
    // The next ones lie too far away for processors to fetch them by themselves.
    for (std::size_t i = 0; i < n; i += 16) __builtin_prefetch(scales + 6 * stride + i);
  } else {
    scaling.copy(row, rows, n, group, few);
  }
  (ops::add_scaled(to.y + r * lanes, sums[r], x_scale, ops::load_reals(scales + r * lanes)), ...);
}

/// Multiplies some panels side by side with the token n; r are the indices of their registers.
template <class Format, std::size_t... r>
inline void matvec_tile(const problem<Format>& p, std::size_t panel, std::size_t token,
                        const matvec_result& to, std::index_sequence<r...> regs) {
  constexpr std::size_t n = sizeof...(r), planes = Format::cols / 4;
  constexpr std::size_t sums_each = digit_reader<Format>::sums;
  const std::size_t lines = p.weights.panel_lines(), group_lines = p.group_lines(),
                    stride = p.weights.panel_stride * sizeof(packed_line);
  const auto* w = p.weights.panel(panel)->bytes.data();
  const std::int8_t* x = p.x + token * p.x_stride + p.x_first;
  const std::int32_t* starts = p.starts + token;
  const std::size_t row = panel * Format::rows;
  constexpr std::size_t dots = max_dots<Format> / digit_reader<Format>::most_scaled,
                        chunk = dots / ((planes + sums_each - 1) / sums_each);
  for (std::size_t done = 0, group = 0; done < lines; ++group, starts += p.starts_step) {
    const std::size_t end = lines - done < group_lines ? lines : done + group_lines;
    const ops::reg start = ops::fill(*starts);
    ops::reg total[n] = {(static_cast<void>(r), start)...};
    while (done < end) {
      const std::size_t stop = end - done < chunk ? end : done + chunk;
      sum a[sums_each][n] = {};
      for (; done < stop; ++done, w += sizeof(packed_line), x += Format::cols) {
        // Processors by themselves do not read far enough ahead in several panels at once. At the
        // end of these panels the next ones are fetched. One thread of a Zen 5 reads faster with 32
        // lines than with 16 or 48.
        constexpr std::size_t distance = 32;
        const std::size_t ahead = (done + distance < lines ? 0 : (n / line_regs - 1) * stride) +
                                  distance * sizeof(packed_line);
        ((r % line_regs == 0 ? __builtin_prefetch(w + r / line_regs * stride + ahead) : void()),
         ...);
        const decltype(digit_reader<Format>::decode(start)) q[n] = {digit_reader<Format>::decode(
            ops::load(w + r / line_regs * stride + r % line_regs * ops::bytes))...};
        matvec_line<Format>(a, q, x, plane_indices<Format>{});
      }
      add_sums<Format>(total, a, std::make_index_sequence<sums_each>{});
    }
    if (to.y == nullptr) {
      (ops::store(to.sums + r * (ops::bytes / 4), total[r]), ...);
    } else {
      const std::size_t left = p.weights.rows - row;
      add_scaled(p.scaling, p.scaling.x_scales[token], row, left, group, to, total, regs);
    }
  }
}

/// Computes the results of token n for the rows of panels [begin, end).
template <class Format>
inline void matvec(const problem<Format>& p, std::size_t begin, std::size_t end, std::size_t n) {
  constexpr std::size_t wide = ops::matvec_panels;
  std::int32_t sums[wide * Format::rows];
  float edge[wide * Format::rows];
  while (begin < end) {
    const std::size_t panels = end - begin >= wide ? wide : 1;
    const std::size_t row = begin * Format::rows, left = p.weights.rows - row;
    const std::size_t rows = left < panels * Format::rows ? left : panels * Format::rows;
    float* const y = p.scaling.y == nullptr ? nullptr : p.scaling.y + n * p.scaling.y_stride + row;
    const bool direct = y == nullptr || rows == panels * Format::rows;
    if (!direct) std::memcpy(edge, y, rows * sizeof *y);
    const matvec_result to{
        sums, direct ? y : edge,
        y == nullptr ? nullptr : p.scaling.dense(row, left, panels * Format::rows)};
    if (panels == wide)
      matvec_tile(p, begin, n, to, std::make_index_sequence<wide * line_regs>{});
    else
      matvec_tile(p, begin, n, to, std::make_index_sequence<line_regs>{});
    if (!direct)
      std::memcpy(y, edge, rows * sizeof *y);
    else if (y == nullptr)
      std::memcpy(p.out + n * p.out_stride + row, sums, rows * sizeof *sums);
    begin += panels;
  }
}
