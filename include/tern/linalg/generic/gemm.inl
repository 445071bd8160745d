// Dense matrix product of one thread, included once for each instruction set inside its region. The
// scheme is that of Goto and van de Geijn (2008): a block of A, packed into panels of a tile's
// rows, stays in L2; a strip of B, two registers wide, stays in L1; and a tile of sums stays in
// registers. Ops has the scalar, the operations on its registers and tile_rows, the rows of a tile:
// a multiple of a register's lanes, or fewer than the lanes.

/// Columns of a strip of B; steps of k in a block of A; rows of a block of A, which takes at most
/// 256 KiB.
template <class Ops>
inline constexpr std::size_t tile_cols = 2 * Ops::lanes;
inline constexpr std::size_t block_depth = 256;
template <class Ops>
inline constexpr std::size_t block_rows =
    1024 / sizeof(typename Ops::scalar) / Ops::tile_rows * Ops::tile_rows;

/// Elements of the packed block of A, and of all memory that gemm() needs. The block has the room
/// of a register behind its elements, since the last store of a narrow panel is as wide.
template <class Ops>
inline constexpr std::size_t packed_block =
    (block_rows<Ops> * block_depth + Ops::lanes + 15) / 16 * 16;
template <class Ops>
inline constexpr std::size_t buffer_size = packed_block<Ops> + block_depth * tile_cols<Ops>;

/// Copies element p of line i to to[p * width + i], for up to a register of lines, with zeros past
/// the last line. A line is a row of A or a column of B; its element p lies at
/// from[i * line + p * step], where `line` or `step` is 1. Where `width` is less than a register,
/// the elements of the next step overwrite the zeros.
template <class Ops, class T = typename Ops::scalar>
void pack_register(const T* from, std::size_t lines, std::size_t line, std::size_t depth,
                   std::size_t step, T* to, std::size_t width) {
  constexpr std::size_t lanes = Ops::lanes;
  if (line == 1) {
    for (std::size_t p = 0; p < depth; ++p)
      Ops::store(to + p * width, Ops::load(from + p * step, lines));
    return;
  }
  for (std::size_t p = 0; p < depth; p += lanes) {
    const std::size_t n = std::min(lanes, depth - p);
    typename Ops::reg r[lanes];
#pragma GCC unroll 16
    for (std::size_t i = 0; i < lanes; ++i)
      r[i] = i < lines ? Ops::load(from + i * line + p, n) : Ops::zero();
    Ops::transpose(r);
#pragma GCC unroll 16
    for (std::size_t i = 0; i < lanes; ++i)
      if (i < n) Ops::store(to + (p + i) * width, r[i]);
  }
}

/// Does the same for a panel of up to `width` lines.
template <class Ops, class T = typename Ops::scalar>
void pack_panel(const T* from, std::size_t lines, std::size_t line, std::size_t depth,
                std::size_t step, T* to, std::size_t width) {
  for (std::size_t v = 0; v < width; v += Ops::lanes) {
    const std::size_t first = std::min(v, lines), n = std::min(Ops::lanes, lines - first);
    pack_register<Ops>(from + first * line, n, line, depth, step, to + v, width);
  }
}

/// c = alpha a b, or c += alpha a b, for packed a and b. c has `rows` x `cols` elements, at most
/// Rows x V registers.
template <class Ops, std::size_t Rows, std::size_t V, class T = typename Ops::scalar>
void tile(T alpha, const T* a, const T* b, std::size_t depth, T* c, std::size_t stride,
          std::size_t rows, std::size_t cols, bool accumulate) {
  constexpr std::size_t lanes = Ops::lanes;
  typename Ops::reg sum[Rows][V];
#pragma GCC unroll 8
  for (std::size_t i = 0; i < Rows; ++i)
#pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) sum[i][v] = Ops::zero();
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t v = 0; v < V; ++v) __builtin_prefetch(c + i * stride + v * lanes);
  for (std::size_t p = 0; p < depth; ++p, a += Ops::tile_rows, b += tile_cols<Ops>) {
    typename Ops::reg right[V];
#pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) right[v] = Ops::load(b + v * lanes);
#pragma GCC unroll 8
    for (std::size_t i = 0; i < Rows; ++i) {
      const typename Ops::reg left = Ops::fill(a[i]);
#pragma GCC unroll 2
      for (std::size_t v = 0; v < V; ++v) sum[i][v] = Ops::multiply_add(left, right[v], sum[i][v]);
    }
  }
  const typename Ops::reg factor = Ops::fill(alpha);
#pragma GCC unroll 8
  for (std::size_t i = 0; i < Rows; ++i)
#pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) {
      if (i >= rows) continue;
      const std::size_t n = std::min(lanes, cols - v * lanes);
      T* const at = c + i * stride + v * lanes;
      const typename Ops::reg before = accumulate ? Ops::load(at, n) : Ops::zero();
      Ops::store(at, Ops::multiply_add(factor, sum[i][v], before), n);
    }
}

/// c = alpha a b, or c += alpha a b. c is row-major, a and b have either order. The sum of an
/// element depends on its row and its column alone, so that no way to split the product changes its
/// bits. `buffer` has buffer_size<Ops> elements and begins at a cache line.
template <class Ops, class T = typename Ops::scalar>
void gemm(T alpha, matrix_view<const T> a, matrix_view<const T> b, matrix_view<T> c,
          bool accumulate, T* buffer) {
  constexpr std::size_t tile_rows = Ops::tile_rows;
  T *const left = buffer, *const right = buffer + packed_block<Ops>;
  std::size_t p = 0;
  do {
    const std::size_t depth = std::min(block_depth, a.cols - p);
    const bool add = accumulate || p > 0;
    for (std::size_t r = 0; r < c.rows; r += block_rows<Ops>) {
      const std::size_t rows = std::min(block_rows<Ops>, c.rows - r);
      for (std::size_t i = 0; i < rows; i += tile_rows)
        pack_panel<Ops>(&a(r + i, p), std::min(tile_rows, rows - i), a.row_stride, depth,
                        a.col_stride, left + i * depth, tile_rows);
      for (std::size_t j = 0; j < c.cols; j += tile_cols<Ops>) {
        const std::size_t cols = std::min(tile_cols<Ops>, c.cols - j);
        pack_panel<Ops>(&b(p, j), cols, b.col_stride, depth, b.row_stride, right, tile_cols<Ops>);
        const bool wide = cols > Ops::lanes;
        const auto whole = wide ? tile<Ops, tile_rows, 2> : tile<Ops, tile_rows, 1>;
        const auto single = wide ? tile<Ops, 1, 2> : tile<Ops, 1, 1>;
        for (std::size_t i = 0; i < rows; i += tile_rows) {
          const std::size_t some = std::min(tile_rows, rows - i);
          (some == 1 ? single : whole)(alpha, left + i * depth, right, depth, &c(r + i, j),
                                       c.row_stride, some, cols, add);
        }
      }
    }
    p += block_depth;
  } while (p < a.cols);
}

/// The product of the level.
template <class Ops, class T = typename Ops::scalar>
inline constexpr gemm_kernel<T> entry_of{gemm<Ops>, buffer_size<Ops>};
