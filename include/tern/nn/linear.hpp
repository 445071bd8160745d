// Fully connected layer y = x W^T + b. The weights are stored as (out, in).
#pragma once

#include "tern/core/executor.hpp"
#include "tern/core/simd.hpp"
#include "tern/core/tensor.hpp"
#include "tern/linalg/gemm.hpp"
#include "tern/nn/rowwise.hpp"

namespace tern::inline TERN_ABI {

template <class T>
struct linear {
  /// y = x w^T + bias. x: (N, in), w: (out, in), bias: out elements or null, y: (N, out). Each
  /// matrix is row-major or column-major. Throws shape_error.
  static void forward(matrix_view<const T> x, matrix_view<const T> w, row_view<const T> bias,
                      matrix_view<T> y, executor_ref ex = {}, precision p = precision::exact) {
    require_shape(x, y.rows, w.cols, "linear: x");
    require_shape(w, y.cols, x.cols, "linear: w");
    gemm<T>(T(1), x, w.transposed(), y, false, ex, p);
    if (bias) add_bias(bias, y, ex);
  }

  /// dx += dy w, dw += dy^T x, dbias += column sums of dy. Null outputs are skipped.
  static void backward(matrix_view<const T> dy, matrix_view<const T> x, matrix_view<const T> w,
                       matrix_view<T> dx, matrix_view<T> dw, row_view<T> dbias,
                       executor_ref ex = {}, precision p = precision::exact) {
    require_shape(x, dy.rows, w.cols, "linear: x");
    require_shape(w, dy.cols, x.cols, "linear: w");
    if (dx) gemm<T>(T(1), dy, w, dx, true, ex, p);
    if (dw) gemm<T>(T(1), dy.transposed(), x, dw, true, ex, p);
    if (dbias) add_column_sums(dy, dbias, ex);
  }

  /// Adds bias to every row of y.
  static void add_bias(row_view<const T> bias, matrix_view<T> y, executor_ref ex = {}) {
    require_size(bias.size, y.cols, "linear: bias");
    for_each_row(y.rows, y.cols, ex, [&](std::size_t r) { simd::axpy(T(1), bias, y.row(r)); });
  }

  /// dbias += the sum over the rows of dy. This is the backward pass of add_bias().
  static void add_column_sums(matrix_view<const T> dy, row_view<T> dbias, executor_ref ex = {}) {
    require_size(dbias.size, dy.cols, "linear: dbias");
    for_column_blocks(dy.rows, dy.cols, ex, [&](std::size_t first, std::size_t count) {
      const row_view<T> out(&dbias[first], count, dbias.stride);
      for (std::size_t r = 0; r < dy.rows; ++r)
        simd::axpy(T(1), dy.col_block(first, count).row(r), out);
    });
  }
};

}  // namespace tern::inline TERN_ABI
