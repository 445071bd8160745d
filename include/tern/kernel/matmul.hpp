// Ternary weights times int8 activations with the best kernel of the CPU the program runs on,
// whatever flags it was compiled with. Sums are exact, so every level and any number of threads
// give the same integers; scaling to real numbers is the caller's, outside of these regions.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "tern/core/executor.hpp"
#include "tern/core/tensor.hpp"
#include "tern/isa/level.hpp"
#include "tern/kernel/avx2.hpp"
#include "tern/kernel/avx512bw.hpp"
#include "tern/kernel/avx512vnni.hpp"
#include "tern/kernel/avxvnni.hpp"
#include "tern/kernel/neon.hpp"
#include "tern/kernel/neon_dotprod.hpp"
#include "tern/kernel/scalar.hpp"
#include "tern/kernel/sse41.hpp"

namespace tern::inline TERN_ABI {

/// Columns up to which no sum can overflow. The tightest place is a matvec's accumulator of the
/// top plane: digits 2 * 64 times activations down to -128, one column in four: 2^12 K < 2^31.
inline constexpr std::size_t ternary_matmul_max_cols = (std::size_t{1} << 19) - 16;

namespace kernel {

/// Whether kernels can read the rows of x as they are: dense, and whole blocks of columns.
template <class Format>
bool readable(const packed_view<Format>& w, matrix_view<const std::int8_t> x) {
  return x.col_stride == 1 && w.cols % Format::cols == 0;
}

template <class Format>
std::size_t padded_cols(const packed_view<Format>& w) {
  return w.panel_blocks() * Format::cols;
}

inline void pad_rows(matrix_view<const std::int8_t> x, std::int8_t* to, std::size_t cols,
                     executor_ref ex) {
  ex.parallel_for(x.rows, 64, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      std::int8_t* row = to + r * cols;
      if (x.col_stride == 1)
        std::memcpy(row, x.row(r).data, x.cols);
      else
        for (std::size_t c = 0; c < x.cols; ++c) row[c] = x(r, c);
      std::memset(row + x.cols, 0, cols - x.cols);
    }
  });
}

inline void run(isa::level level, const problem<two_bit>& p, std::size_t begin, std::size_t end) {
  switch (level) {
#if TERN_X86
    case isa::level::avx512vnni:
      return avx512vnni::run(p, begin, end);
    case isa::level::avx512bw:
      return avx512bw::run(p, begin, end);
    case isa::level::avxvnni:
      return avxvnni::run(p, begin, end);
    case isa::level::avx2:
      return avx2::run(p, begin, end);
    case isa::level::sse41:
      return sse41::run(p, begin, end);
#elif TERN_AARCH64
    case isa::level::neon_dotprod:
      return neon_dotprod::run(p, begin, end);
    case isa::level::neon:
      return neon::run(p, begin, end);
#endif
    default:
      return scalar::run(p, begin, end);
  }
}

}  // namespace kernel

/// Bytes of workspace that ternary_matmul needs for these operands; 0 where x is dense along its
/// rows and K is a multiple of 16.
inline std::size_t ternary_matmul_workspace(const packed_view<two_bit>& w,
                                            matrix_view<const std::int8_t> x) {
  return kernel::readable(w, x) ? 0 : x.rows * kernel::padded_cols(w);
}

/// out (N, M) = x (N, K) * w (M, K) transposed, in int32. row_sums (N) are the sums of the rows of
/// x, as an activation quantizer gives them. `out` is dense along its rows. The workspace is used
/// during the call only. Throws shape_error where shapes disagree, the workspace is too small or K
/// exceeds ternary_matmul_max_cols. `level` must be supported by this CPU.
inline void ternary_matmul(const packed_view<two_bit>& w, matrix_view<const std::int8_t> x,
                           row_view<const std::int32_t> row_sums, matrix_view<std::int32_t> out,
                           std::span<std::byte> workspace, executor_ref ex = {},
                           isa::level level = isa::active()) {
  require_shape(x, x.rows, w.cols, "ternary_matmul: x");
  require_shape(out, x.rows, w.rows, "ternary_matmul: out");
  require_size(row_sums.size, x.rows, "ternary_matmul: row sums");
  if (w.cols > ternary_matmul_max_cols)
    throw shape_error("ternary_matmul: more columns than int32 sums are proven for");
  if (out.col_stride != 1 || row_sums.stride != 1)
    throw shape_error("ternary_matmul: out and row sums must be dense along their rows");
  if (workspace.size() < ternary_matmul_workspace(w, x))
    throw shape_error("ternary_matmul: workspace smaller than ternary_matmul_workspace()");
  if (x.rows == 0 || w.rows == 0) return;
  if (w.cols == 0) {
    for (std::size_t n = 0; n < out.rows; ++n) std::fill_n(out.row(n).data, out.cols, 0);
    return;
  }

  kernel::problem<two_bit> p{w,        x.data,        x.row_stride, x.rows, row_sums.data,
                             out.data, out.row_stride};
  if (!kernel::readable(w, x)) {
    auto* padded = reinterpret_cast<std::int8_t*>(workspace.data());
    p.x_stride = kernel::padded_cols(w);
    kernel::pad_rows(x, padded, p.x_stride, ex);
    p.x = padded;
  }
  // About 4M multiply-adds make a chunk worth a thread.
  const std::size_t work = 64 * std::min<std::size_t>(x.rows, p.task_tokens) * (w.cols + 1);
  ex.parallel_for(p.tasks(), (std::size_t{1} << 22) / work + 1,
                  [&](std::size_t begin, std::size_t end) { kernel::run(level, p, begin, end); });
}

}  // namespace tern::inline TERN_ABI
