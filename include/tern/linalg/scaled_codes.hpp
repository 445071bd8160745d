// Products with a matrix of int8 codes that has a scale for each block. Quantized weights and
// activations are such matrices in a backward pass. Where the CPU multiplies bf16 numbers, codes do
// not become floats in memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tern/core/arena.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/tensor.hpp"
#include "tern/linalg/gemm.hpp"
#include "tern/quant/quantizer.hpp"

namespace tern::inline TERN_ABI {

/// Element (r, c) stands for codes(r, c) * scales(r / block.rows, c / block.cols).
template <class T>
struct scaled_codes {
  matrix_view<const std::int8_t> codes;  ///< (k, n)
  matrix_view<const T> scales;           ///< scale_extents({k, n}, block)
  extents block;                         ///< rows and columns that share a scale

  /// Whether each row has a scale of its own, or all have the same one.
  [[nodiscard]] bool has_row_scales() const {
    return scales.cols == 1 && (scales.rows == 1 || scales.rows == codes.rows);
  }
  /// The scales of all rows, where has_row_scales().
  [[nodiscard]] row_view<const T> row_scales() const {
    return {scales.data, codes.rows, scales.rows == 1 ? 0 : scales.row_stride};
  }
};

/// c = a * b, or c += a * b. a: (m, k), b: (k, n), c: (m, n), row-major. With precision::bf16 and
/// scales of rows, column k of a is multiplied by the scale of row k of b and rounded then, and
/// codes are exact; with other scales the elements of b are rounded. While it runs, `scratch` holds
/// at most the elements of b as numbers of type T. Throws shape_error.
template <class T>
void gemm(std::type_identity_t<matrix_view<const T>> a, const scaled_codes<T>& b, matrix_view<T> c,
          bool accumulate, arena& scratch, executor_ref ex = {}, precision p = precision::exact) {
  require_shape(a, c.rows, b.codes.rows, "gemm: a");
  require_shape(b.codes, a.cols, c.cols, "gemm: codes");
  if (b.block.rows == 0 || b.block.cols == 0)
    throw shape_error("gemm: the block of the codes is empty");
  const extents scales = scale_extents({b.codes.rows, b.codes.cols}, b.block);
  require_shape(b.scales, scales.rows, scales.cols, "gemm: scales");
  a = detail::contiguous(a, "gemm: a");
  if constexpr (std::is_same_v<T, float>)
    if (b.codes.col_stride == 1 && c.col_stride == 1) {
      const float one(1);
      const bool rows = b.has_row_scales();
      detail::panel_operand<std::int8_t> right{b.codes};
      if (!rows) right = {b.codes, b.scales, b.block};
      if ((rows || b.block.cols % 32 == 0) &&
          detail::multiply_on_unit<T>(T(1), a, rows ? b.row_scales() : row_view(&one, a.cols, 0),
                                      right, c, accumulate, ex, p))
        return;
    }
  const arena_scope temporaries(scratch);
  const matrix_view<T> real = scratch.matrix<T>(b.codes.rows, b.codes.cols);
  dequantize<T>(b.codes, b.scales, b.block, real, ex);
  gemm<T>(T(1), a, real, c, accumulate, ex, p);
}

}  // namespace tern::inline TERN_ABI
