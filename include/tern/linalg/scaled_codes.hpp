// Products with a matrix of int8 codes that has a scale for each row. Quantized weights and
// activations are such matrices in a backward pass. Where the CPU multiplies codes as they are,
// they do not become floats in memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tern/core/arena.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/tensor.hpp"
#include "tern/linalg/gemm.hpp"
#include "tern/quant/quantizer.hpp"

namespace tern::inline TERN_ABI {

/// Element (r, c) stands for codes(r, c) * scales[r]. With a stride of 0 all rows have one scale.
template <class T>
struct scaled_codes {
  matrix_view<const std::int8_t> codes;  ///< (k, n)
  row_view<const T> scales;              ///< k elements
};

/// c += a * b. a: (m, k), b: (k, n), c: (m, n), row-major. With precision::bf16 column k of a is
/// multiplied by the scale of row k of b and rounded then; codes are exact. While it runs,
/// `scratch` holds at most the elements of b as numbers of type T. Throws shape_error.
template <class T>
void add_product(std::type_identity_t<matrix_view<const T>> a, const scaled_codes<T>& b,
                 matrix_view<T> c, arena& scratch, executor_ref ex = {},
                 precision p = precision::exact) {
  require_shape(a, c.rows, b.codes.rows, "add_product: a");
  require_shape(b.codes, a.cols, c.cols, "add_product: codes");
  require_size(b.scales.size, a.cols, "add_product: scales");
  a = detail::contiguous(a, "add_product: a");
  if (b.codes.col_stride == 1 && c.col_stride == 1 &&
      detail::multiply_on_unit<T>(T(1), a, b.scales, b.codes, c, true, ex, p))
    return;
  const arena_scope temporaries(scratch);
  const matrix_view<T> real = scratch.matrix<T>(b.codes.rows, b.codes.cols);
  dequantize<T>(b.codes, b.scales, real, ex);
  gemm<T>(T(1), a, real, c, true, ex, p);
}

}  // namespace tern::inline TERN_ABI
