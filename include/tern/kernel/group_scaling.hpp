// What kernels need to make real numbers of the sums of groups of columns themselves, while these
// sums are still in registers.
#pragma once

#include <cstddef>
#include <cstring>

#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI::kernel {

/// y(n, m) += sum_g(n, m) * (x_scales[n] * w_scales(m / scale_rows, g)) for each group g in order,
/// rounded after each operation. y is null where sums stay integers.
struct group_scaling {
  float* y = nullptr;                      ///< (N, M); rows are dense
  std::size_t y_stride = 0;                ///< elements from one row of y to the next
  row_view<const float> x_scales = {};     ///< N elements
  matrix_view<const float> w_scales = {};  ///< (1 or ceil(M / scale_rows), groups)
  std::size_t scale_rows = 1;              ///< weight rows that share a row of w_scales

  /// The scales of group g for weight rows from `row` on where they lie side by side, else null.
  [[nodiscard]] const float* dense_scales(std::size_t row, std::size_t g) const {
    const bool dense = scale_rows == 1 && w_scales.rows != 1 && w_scales.row_stride == 1;
    return dense ? w_scales.data + row + g * w_scales.col_stride : nullptr;
  }
  /// Copies the scales of group g for weight rows [row, row + rows).
  void copy_scales(std::size_t row, std::size_t rows, std::size_t g, float* to) const {
    if (const float* from = dense_scales(row, g))
      std::memcpy(to, from, rows * sizeof *to);
    else
      for (std::size_t i = 0; i < rows; ++i)
        to[i] = w_scales(w_scales.rows == 1 ? 0 : (row + i) / scale_rows, g);
  }
};

}  // namespace tern::inline TERN_ABI::kernel
