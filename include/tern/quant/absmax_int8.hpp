// Int8 activations with one scale per token (BitNet Distillation, section 3.1):
//   g = max|x|,  Q(x) = g / 127 * clip(round(127 / (g + eps) * x), -128, 127),  half to even.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "tern/core/is_finite.hpp"
#include "tern/isa/level.hpp"
#include "tern/quant/absmax_row.hpp"
#include "tern/quant/codes.hpp"
#include "tern/quant/quantizer.hpp"

namespace tern::inline TERN_ABI {

/// The activation_quantizer of BitNet b1.58 and BitNet Distillation.
struct absmax_int8 {
  /// Keeps the factor finite; tokens with far smaller values become 0. Must be positive.
  double eps = 1e-5;

  /// x (N, K) -> codes (N, K) within [-127, 127], scales (N) = g / 127, row_sums (N) = sums of
  /// codes. A token with a value that is not finite gets the codes 0 and the scale NaN, so that
  /// what is computed from it is NaN. The clip of the definition never acts, since |x| <= g.
  /// `level` must be supported by this CPU; all levels give the same bits. Throws shape_error.
  template <class T>
  void quantize(matrix_view<const T> x, matrix_view<std::int8_t> codes, row_view<T> scales,
                row_view<std::int32_t> row_sums, executor_ref ex = {},
                isa::level level = isa::active()) const {
    require_shape(codes, x.rows, x.cols, "absmax_int8: codes");
    require_size(scales.size, x.rows, "absmax_int8: scales");
    require_size(row_sums.size, x.rows, "absmax_int8: row sums");
    const bool dense = x.col_stride == 1 && codes.col_stride == 1;
    const auto row = dense ? quant::absmax_rows.at(level) : quant::absmax_row{};
    for_each_row(x.rows, x.cols, ex, [&](std::size_t r) {
      scales[r] = quantize_row<T>(x.row(r), codes.row(r), row_sums[r], row);
    });
  }

 private:
  template <class T>
  T quantize_row(row_view<const T> x, row_view<std::int8_t> codes, std::int32_t& row_sum,
                 const quant::absmax_row& row) const {
    if constexpr (std::same_as<T, float>)
      if (row.max_abs != nullptr) {
        const float g = row.max_abs(x.data, x.size);
        if (!is_finite(g)) return not_finite<T>(codes, row_sum);
        row_sum = row.store_codes(x.data, x.size, factor(g), codes.data);
        return g / 127;
      }
    const T g = simd::max_abs(x);
    const simd::batch<T> factors(factor(g)), zero(T(0));
    auto finite = zero == zero;  // v * factor is NaN for NaN, and for inf, where 127 / g is 0
    row_sum = quant::store_codes<T>(x, codes, [&](const simd::batch<T>& v) {
      const simd::batch<T> y = simd::nearbyint<T>(v * factors);
      const auto number = simd::is_number<T>(y);
      finite = finite & number;
      return simd::select(number, y, zero);
    });
    return simd::all(finite) ? g / 127 : not_finite<T>(codes, row_sum);
  }

  template <class T>
  [[nodiscard]] T factor(T g) const {
    return T(127) / (g + static_cast<T>(eps));
  }

  template <class T>
  static T not_finite(row_view<std::int8_t> codes, std::int32_t& row_sum) {
    for (std::size_t i = 0; i < codes.size; ++i) codes[i] = 0;
    row_sum = 0;
    return std::numeric_limits<T>::quiet_NaN();
  }
};

}  // namespace tern::inline TERN_ABI
