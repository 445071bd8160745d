// What kernels need to make real numbers of the sums of groups of columns themselves, while these
// sums are still in registers.
#pragma once

#include <cstddef>
#include <cstring>

#include "tern/pack/scale_view.hpp"

namespace tern::inline TERN_ABI::kernel {

/// totals(n, m) += sum_g(n, m) * w_scales(m / scale_rows, g) for each group g in order, rounded
/// after each operation. `totals` is null where sums stay integers.
struct group_scaling {
  float* totals = nullptr;                ///< (N, M); rows are dense
  std::size_t stride = 0;                 ///< elements from one row of totals to the next
  scale_view<const float> w_scales = {};  ///< (1 or ceil(M / scale_rows), groups)
  std::size_t scale_rows = 1;             ///< weight rows that share a row of w_scales

  /// The scales of the first group for n weight rows from `row` on, of which `rows` are left, or
  /// null where they do not lie side by side. Those of the next group follow w_scales.col_stride
  /// later.
  [[nodiscard]] const float* dense(std::size_t row, std::size_t rows, std::size_t n) const {
    const bool side_by_side =
        scale_rows == 1 && w_scales.rows != 1 && w_scales.side_by_side(row, n);
    return side_by_side && rows >= n ? &w_scales(row, 0) : nullptr;
  }
  /// Copies the scales of group g for n weight rows from `row` on, with 0 behind the `rows` that
  /// are left.
  template <std::size_t n>
  void copy(std::size_t row, std::size_t rows, std::size_t g, float* to) const {
    if (const float* const from = dense(row, rows, n); from != nullptr)
      std::memcpy(to, from + g * w_scales.col_stride, n * sizeof *to);
    else
      for (std::size_t i = 0; i < n; ++i)
        to[i] = i < rows ? w_scales(w_scales.rows == 1 ? 0 : (row + i) / scale_rows, g) : 0.0f;
  }
};

}  // namespace tern::inline TERN_ABI::kernel
