// Int8 activations with one scale per token (BitNet Distillation, section 3.1):
//   g = max|x|,  Q(x) = g / 127 * clip(round(127 / (g + eps) * x), -128, 127),  half to even.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "tern/quant/codes.hpp"
#include "tern/quant/quantizer.hpp"

namespace tern::inline TERN_ABI {

struct absmax_int8 {
  /// Keeps the factor finite; tokens far below it become 0. Must be positive.
  double eps = 1e-5;

  /// x (N, K) -> codes (N, K) within [-127, 127], scales (N) = g / 127, row_sums (N) = sums of
  /// codes. A token with a value that is not finite gets codes 0 and scale NaN, so that what is
  /// computed from it is NaN. The clip of the definition never acts: |x| <= g.
  template <class T>
  void quantize(matrix_view<const T> x, matrix_view<std::int8_t> codes, row_view<T> scales,
                row_view<std::int32_t> row_sums, executor_ref ex = {}) const {
    require_shape(codes, x.rows, x.cols, "absmax_int8: codes");
    require_size(scales.size, x.rows, "absmax_int8: scales");
    require_size(row_sums.size, x.rows, "absmax_int8: row sums");
    for_each_row(x.rows, x.cols, ex, [&](std::size_t r) {
      scales[r] = quantize_row<T>(x.row(r), codes.row(r), row_sums[r]);
    });
  }

 private:
  template <class T>
  T quantize_row(row_view<const T> x, row_view<std::int8_t> codes, std::int32_t& row_sum) const {
    const T g = simd::max_abs(x);
    const simd::batch<T> factor(T(127) / (g + static_cast<T>(eps))), zero(T(0));
    auto finite = zero == zero;  // v * factor is NaN for NaN itself, and for inf: 127 / g is 0
    row_sum = quant::store_codes<T>(x, codes, [&](const simd::batch<T>& v) {
      const simd::batch<T> y = xsimd::nearbyint(v * factor);
      finite = finite & (y == y);
      return xsimd::select(y == y, y, zero);
    });
    if (xsimd::all(finite)) return g / 127;
    for (std::size_t i = 0; i < codes.size; ++i) codes[i] = 0;
    row_sum = 0;
    return std::numeric_limits<T>::quiet_NaN();
  }
};

}  // namespace tern::inline TERN_ABI
