// Matrix product of any scalar with the registers that the translation unit is compiled for. In a
// program without flags these are SSE2 or NEON.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "tern/core/simd.hpp"
#include "tern/core/tensor.hpp"
#include "tern/isa/target.hpp"
#include "tern/linalg/gemm_kernel.hpp"

namespace tern::inline TERN_ABI::detail::portable {

#if TERN_AARCH64 || defined(__AVX512F__)
inline constexpr std::size_t registers = 32;
#else
inline constexpr std::size_t registers = 16;
#endif

/// Registers of the instruction set that the unit is compiled for.
template <class T>
struct ops {
  using scalar = T;
  using reg = simd::batch<T>;
  static constexpr std::size_t lanes = simd::lanes<T>, tile_rows = registers / 4;

  static reg zero() { return reg(T(0)); }
  static reg fill(T x) { return reg(x); }
  static reg load(const T* p) { return reg::load_unaligned(p); }
  static void store(T* p, const reg& a) { a.store_unaligned(p); }
  /// The first n <= lanes elements; the others are zero.
  static reg load(const T* p, std::size_t n) {
    if (n == lanes) return load(p);
    std::array<T, lanes> part{};
    std::copy_n(p, n, part.data());
    return load(part.data());
  }
  static void store(T* p, const reg& a, std::size_t n) {
    if (n == lanes) return store(p, a);
    std::array<T, lanes> part;
    store(part.data(), a);
    std::copy_n(part.data(), n, p);
  }
  static reg multiply_add(const reg& a, const reg& b, const reg& c) { return simd::fma(a, b, c); }
  /// Transposes: register i of the result holds element i of every register.
  static void transpose(reg (&r)[lanes]) {
    if constexpr (sizeof(reg) == 16) {
      constexpr std::size_t half = lanes / 2;
      for (std::size_t step = 1; step < lanes; step *= 2) {
        reg t[lanes];
        for (std::size_t i = 0; i < half; ++i) {
          t[2 * i] = simd::zip_lo(r[i], r[i + half]);
          t[2 * i + 1] = simd::zip_hi(r[i], r[i + half]);
        }
        std::copy_n(t, lanes, r);
      }
    } else {  // in wider registers xsimd zips within quarters
      std::array<std::array<T, lanes>, lanes> columns;
      for (std::size_t i = 0; i < lanes; ++i) {
        std::array<T, lanes> row;
        store(row.data(), r[i]);
        for (std::size_t j = 0; j < lanes; ++j) columns[j][i] = row[j];
      }
      for (std::size_t i = 0; i < lanes; ++i) r[i] = load(columns[i].data());
    }
  }
};

#include "tern/linalg/generic/gemm.inl"

}  // namespace tern::inline TERN_ABI::detail::portable
