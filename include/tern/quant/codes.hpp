// Real numbers to int8 codes, shared by the policies. The loops that leave T use the vector
// extension of g++ and clang: xsimd converts neither to int8 nor from float to double.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tern/core/simd.hpp"
#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI::quant {

/// Rows that make a chunk of work worth a thread.
constexpr std::size_t rows_per_chunk(std::size_t cols) {
  return std::max<std::size_t>(1, (std::size_t{1} << 15) / std::max<std::size_t>(cols, 1));
}

/// Sum of |x[i]| in double, eight lanes at a time on every machine: the same bits everywhere.
template <class T>
double sum_abs(row_view<const T> x) {
  std::array<double, 8> total{};
  std::size_t i = 0;
  for (; i + 8 <= x.size; i += 8)
    for (std::size_t k = 0; k < 8; ++k) total[k] += static_cast<double>(std::abs(x[i + k]));
  for (std::size_t k = 0; i + k < x.size; ++k) total[k] += static_cast<double>(std::abs(x[i + k]));
  return ((total[0] + total[1]) + (total[2] + total[3])) +
         ((total[4] + total[5]) + (total[6] + total[7]));
}

/// codes[i] = f(x[i]) and the sum of the codes. f maps batches to batches of whole numbers in
/// [-128, 127].
template <class T, class F>
std::int32_t store_codes(row_view<const T> x, row_view<std::int8_t> codes, F f) {
  using reals [[gnu::vector_size(4 * sizeof(T))]] = T;
  using ints [[gnu::vector_size(16)]] = std::int32_t;
  using bytes [[gnu::vector_size(4)]] = std::int8_t;
  constexpr std::size_t chunk = 64;
  alignas(64) std::array<T, chunk> buffer{};
  std::array<std::int8_t, chunk> narrow;
  ints total{};
  for (std::size_t i = 0; i < x.size; i += chunk) {
    const std::size_t n = std::min(chunk, x.size - i);
    if (n < chunk) buffer.fill(T(0));
    simd::transform(row_view<T>(buffer.data(), n), f,
                    row_view<const T>(x.data + i * x.stride, n, x.stride));
    for (std::size_t k = 0; k < chunk; k += 4) {
      reals r;
      std::memcpy(&r, &buffer[k], sizeof r);
      const ints whole = __builtin_convertvector(r, ints);
      const bytes b = __builtin_convertvector(whole, bytes);
      std::memcpy(&narrow[k], &b, sizeof b);
      total += whole;
    }
    if (codes.stride == 1)
      std::memcpy(codes.data + i, narrow.data(), n);
    else
      for (std::size_t k = 0; k < n; ++k) codes[i + k] = narrow[k];
  }
  return total[0] + total[1] + total[2] + total[3];
}

}  // namespace tern::inline TERN_ABI::quant
