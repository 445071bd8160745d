// Dense matrix product with the instructions of the CPU, split over an executor. The split depends
// on the shape alone, so the bits do not depend on the number of threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "tern/core/executor.hpp"
#include "tern/core/tensor.hpp"
#include "tern/core/thread_scratch.hpp"
#include "tern/isa/dispatch_table.hpp"
#include "tern/isa/level.hpp"
#include "tern/linalg/amx.hpp"
#include "tern/linalg/avx2.hpp"
#include "tern/linalg/avx512.hpp"
#include "tern/linalg/avx512bf16.hpp"
#include "tern/linalg/gemm_kernel.hpp"
#include "tern/linalg/panel_product.hpp"
#include "tern/linalg/portable.hpp"
#include "tern/linalg/precision.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// The products of one thread. Only those of floats have code of their own for levels.
template <class T>
inline constexpr isa::dispatch_table<gemm_kernel<T>> gemm_kernels{
    {isa::level::scalar, portable::entry_of<portable::ops<T>>}};
#if TERN_X86
template <>
inline constexpr isa::dispatch_table<gemm_kernel<float>> gemm_kernels<float>{
    {isa::level::scalar, portable::entry_of<portable::ops<float>>},
    {isa::level::avx2, avx2::entry_of<avx2::ops>},
    {isa::level::avx512bw, avx512::entry_of<avx512::ops>}};
#endif

/// Computes a product of floats on a unit for bf16 numbers: with precision::exact a large
/// one on tiles, with any other precision every one. False, and nothing is done, where the CPU has
/// no such unit. Row k of b counts scale[k] times. `alpha` and `scale` multiply the elements of a
/// before they are rounded. Codes that have scales in b are only multiplied where they are rounded.
template <class T, class B>
bool multiply_on_unit([[maybe_unused]] T alpha, [[maybe_unused]] matrix_view<const T> a,
                      [[maybe_unused]] row_view<const T> scale,
                      [[maybe_unused]] const panel_operand<B>& b, [[maybe_unused]] matrix_view<T> c,
                      [[maybe_unused]] bool accumulate, [[maybe_unused]] executor_ref ex,
                      [[maybe_unused]] precision p) {
#if TERN_X86
  if constexpr (std::is_same_v<T, float>) {
    const bool rounded = p != precision::exact;
    if (b.scales && !rounded) return false;
#  if TERN_X86_TILES
    if (isa::active() >= isa::level::amx && amx::suits(c.rows, a.cols, c.cols)) {
      (rounded ? multiply_panels<amx::unit<precision::bf16>, B>
               : multiply_panels<amx::unit<precision::exact>, B>)(alpha, a, scale, b, c, accumulate,
                                                                  ex);
      return true;
    }
#  endif
    if (rounded && isa::active() >= isa::level::avx512bf16) {
      multiply_panels<avx512bf16::unit, B>(alpha, a, scale, b, c, accumulate, ex);
      return true;
    }
  }
#endif
  return false;
}

/// c = alpha a b, or c += alpha a b, on the calling thread. c is row-major, a and b have either
/// order.
template <class T>
void gemm_block(T alpha, matrix_view<const T> a, matrix_view<const T> b, matrix_view<T> c,
                bool accumulate, precision p = precision::exact) {
  const T one(1);
  if (p != precision::exact &&
      multiply_on_unit<T, T>(alpha, a, {&one, a.cols, 0}, {b}, c, accumulate, {}, p))
    return;
  const gemm_kernel<T>& kernel = gemm_kernels<T>.at(isa::active());
  const thread_scratch buffer(kernel.buffer_size * sizeof(T));
  kernel.multiply(alpha, a, b, c, accumulate, buffer.data<T>());
}

/// Returns m with plain strides. Throws shape_error where neither rows nor columns are contiguous.
template <class T>
matrix_view<T> contiguous(matrix_view<T> m, const char* what) {
  m = with_plain_strides(m);
  if (m.col_stride != 1 && m.row_stride != 1)
    throw shape_error(std::string(what) + ": rows or columns must be contiguous");
  return m;
}

}  // namespace detail

/// c = alpha * a * b, or c += alpha * a * b. a: (m, k), b: (k, n), c: (m, n). Each may be row-major
/// or column-major, with one stride of 1; pass x.transposed() for a transpose. With precision::bf16
/// alpha * a and b are rounded first. Each thread uses about 290 KB of thread_scratch, and on a
/// unit for bf16 numbers up to 500 KB, the caller's one up to 8.5 MB. Throws shape_error.
template <class T>
void gemm(T alpha, std::type_identity_t<matrix_view<const T>> a,
          std::type_identity_t<matrix_view<const T>> b, std::type_identity_t<matrix_view<T>> c,
          bool accumulate = false, executor_ref ex = {}, precision p = precision::exact) {
  c = detail::contiguous(c, "gemm: c");
  if (c.col_stride != 1)
    return gemm<T>(alpha, b.transposed(), a.transposed(), c.transposed(), accumulate, ex, p);
  require_shape(a, c.rows, b.rows, "gemm: a");
  require_shape(b, a.cols, c.cols, "gemm: b");
  a = detail::contiguous(a, "gemm: a");
  b = detail::contiguous(b, "gemm: b");
  const T one(1);
  if (detail::multiply_on_unit<T, T>(alpha, a, {&one, a.cols, 0}, {b}, c, accumulate, ex, p))
    return;
  // There are at most 8 chunks, or 4 for a short result, since each chunk reads the other operand
  // again. A chunk has at least 2^21 multiply-adds and a multiple of 32 rows or columns.
  const bool by_rows = c.rows >= c.cols;
  const std::size_t n = by_rows ? c.rows : c.cols,
                    work = std::max<std::size_t>(1, a.cols * (by_rows ? c.cols : c.rows));
  const std::size_t chunks = n >= 1024 ? 8 : 4, least = (n + chunks - 1) / chunks;
  const std::size_t grain = (std::max(least, (std::size_t{1} << 21) / work) + 31) / 32 * 32;
  ex.parallel_for(n, grain, [&](std::size_t begin, std::size_t end) {
    const std::size_t count = end - begin;
    if (by_rows)
      detail::gemm_block<T>(alpha, a.row_block(begin, count), b, c.row_block(begin, count),
                            accumulate);
    else
      detail::gemm_block<T>(alpha, a, b.col_block(begin, count), c.col_block(begin, count),
                            accumulate);
  });
}

// The products of all levels cost compile time in every unit. A program of many units may define
// this macro in all of them and instantiate both functions in one.
#if defined(TERN_EXTERN_GEMM)
extern template void gemm<float>(float, matrix_view<const float>, matrix_view<const float>,
                                 matrix_view<float>, bool, executor_ref, precision);
extern template void gemm<double>(double, matrix_view<const double>, matrix_view<const double>,
                                  matrix_view<double>, bool, executor_ref, precision);
#endif

}  // namespace tern::inline TERN_ABI
