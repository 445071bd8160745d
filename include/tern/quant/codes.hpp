// Conversion of real numbers to int8 codes, which the quantizers share. Loops that change the type
// use the vector extension of g++ and clang, since xsimd converts neither to int8 nor from float to
// double.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tern/core/simd.hpp"
#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI::quant {

/// Sum of |x[i]| in double. Every machine adds in eight lanes, so the bits are the same everywhere.
template <class T>
double sum_abs(row_view<const T> x) {
  using reals [[gnu::vector_size(4 * sizeof(T))]] = T;
  using doubles [[gnu::vector_size(4 * sizeof(double))]] = double;
  doubles low{}, high{};
  std::array<T, 8> buffer{};
  for (std::size_t i = 0; i < x.size; i += 8) {
    const bool direct = x.stride == 1 && x.size - i >= 8;
    if (!direct)
      for (std::size_t k = 0; k < 8; ++k) buffer[k] = i + k < x.size ? x[i + k] : T(0);
    const T* from = direct ? x.data + i : buffer.data();
    reals a, b;
    std::memcpy(&a, from, sizeof a);
    std::memcpy(&b, from + 4, sizeof b);
    low += __builtin_convertvector(a < 0 ? -a : a, doubles);
    high += __builtin_convertvector(b < 0 ? -b : b, doubles);
  }
  low += high;
  return (low[0] + low[1]) + (low[2] + low[3]);
}

/// Converts 64 whole numbers in [-128, 127] to bytes and returns their sum. They become int16
/// first, for which g++ has packing instructions.
template <class T>
std::int32_t narrow(const T* from, std::int8_t* to) {
  using reals [[gnu::vector_size(8 * sizeof(T))]] = T;
  using ints [[gnu::vector_size(32)]] = std::int32_t;
  using shorts [[gnu::vector_size(16)]] = std::int16_t;
  using bytes [[gnu::vector_size(8)]] = std::int8_t;
  shorts total{};
  for (std::size_t k = 0; k < 64; k += 8) {
    reals r;
    std::memcpy(&r, from + k, sizeof r);
    const shorts whole = __builtin_convertvector(__builtin_convertvector(r, ints), shorts);
    const bytes b = __builtin_convertvector(whole, bytes);
    std::memcpy(to + k, &b, sizeof b);
    total += whole;
  }
  std::int32_t sum = 0;
  for (std::size_t k = 0; k < 8; ++k) sum += total[k];
  return sum;
}

/// codes[i] = f(x[i]); returns the sum of the codes. f maps batches to batches of whole numbers in
/// [-128, 127].
template <class T, class F>
std::int32_t store_codes(row_view<const T> x, row_view<std::int8_t> codes, F f) {
  constexpr std::size_t chunk = 64;
  alignas(64) std::array<T, chunk> buffer{};
  std::array<std::int8_t, chunk> part;
  std::int32_t total = 0;
  for (std::size_t i = 0; i < x.size; i += chunk) {
    const std::size_t n = std::min(chunk, x.size - i);
    if (n < chunk) buffer.fill(T(0));
    simd::transform(row_view<T>(buffer.data(), n), f,
                    row_view<const T>(x.data + i * x.stride, n, x.stride));
    if (n == chunk && codes.stride == 1) {
      total += narrow(buffer.data(), codes.data + i);
    } else {
      total += narrow(buffer.data(), part.data());
      for (std::size_t k = 0; k < n; ++k) codes[i + k] = part[k];
    }
  }
  return total;
}

}  // namespace tern::inline TERN_ABI::quant
