// Weights of 4 or 8 bits with a scale for each group of columns of a row, for the embeddings and
// output heads of ternary models:  Q(W) = s * round(W / s),  half to even.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "tern/core/is_finite.hpp"
#include "tern/core/simd.hpp"
#include "tern/quant/codes.hpp"
#include "tern/quant/quantizer.hpp"

namespace tern::inline TERN_ABI {

/// `Group` columns share a scale; the last group of a row may have fewer, and 0 stands for the
/// whole row. With 8 bits, codes are within [-127, 127] and s = max|W| / 127. With 4 bits, codes
/// are within
/// [-8, 7] and s is the one of seven candidates that has the least squared error: m / -8, where m
/// is the weight of largest magnitude, which so is kept whatever its sign, and six around max|W|
/// / 7.
template <int Bits, std::size_t Group = 0>
  requires(Bits == 4 || Bits == 8)
struct absmax_groups {
  /// `Group` columns of a row, or the whole row.
  static constexpr extents scale_block(std::size_t, std::size_t cols) {
    return {1, Group != 0 ? Group : std::max<std::size_t>(cols, 1)};
  }

  /// weights (M, K) -> codes (M, K), scales (M, ceil(K / Group)). A group of zeros has the scale 0;
  /// magnitudes below 128 times the least normal number count as zeros.
  /// Throws shape_error, and numeric_error where a weight is not finite.
  template <class T>
  void quantize(matrix_view<const T> weights, matrix_view<std::int8_t> codes, matrix_view<T> scales,
                executor_ref ex = {}) const {
    const std::size_t width = scale_block(weights.rows, weights.cols).cols;
    require_shape(codes, weights.rows, weights.cols, "absmax_groups: codes");
    require_shape(scales, weights.rows, (weights.cols + width - 1) / width,
                  "absmax_groups: scales");
    for_each_row(weights.rows, weights.cols, ex, [&](std::size_t r) {
      for (std::size_t c = 0, i = 0; c < weights.cols; c += width, ++i) {
        const std::size_t n = std::min(width, weights.cols - c);
        scales(r, i) =
            quantize_group<T>(weights.block(r, c, 1, n).row(0), codes.block(r, c, 1, n).row(0));
      }
    });
  }

 private:
  template <class T>
  static T quantize_group(row_view<const T> w, row_view<std::int8_t> codes) {
    const T most = simd::max_abs(w);
    for (std::size_t i = 0; i < w.size; ++i)  // max_abs() may ignore a NaN
      if (!is_finite(w[i])) throw numeric_error("absmax_groups: a weight is not finite");
    // For smaller magnitudes the reciprocal of the scale might overflow.
    const bool zeros = most < 128 * std::numeric_limits<T>::min();
    const T scale = zeros ? T(0) : Bits == 8 ? most / 127 : best_of_four_bits<T>(w, most);
    const T inverse = zeros ? T(0) : 1 / scale;
    quant::store_codes<T>(w, codes, rounding<T>(inverse));
    return scale;
  }

  /// A function from a batch of weights to their codes, where 1 / scale is `inverse`.
  template <class T>
  static auto rounding(T inverse) {
    return [by = simd::batch<T>(inverse), least = simd::batch<T>(T(Bits == 8 ? -127 : -8)),
            largest = simd::batch<T>(T(Bits == 8 ? 127 : 7))](const simd::batch<T>& w) {
      return simd::min(simd::max(simd::nearbyint<T>(w * by), least), largest);
    };
  }

  /// The scale with the least squared error for codes of 4 bits.
  template <class T>
  static T best_of_four_bits(row_view<const T> w, T most) {
    T signed_most = most, best = 0, least = 0;
    for (std::size_t i = 0; i < w.size; ++i)
      if (std::abs(w[i]) == most) {
        signed_most = w[i];
        break;
      }
    for (const T scale : {signed_most / T(-8), most / T(8), most / T(7.5), most / T(7),
                          most / T(6.5), most / T(6), signed_most / T(-7)}) {
      const simd::batch<T> back(scale);
      const auto round = rounding<T>(1 / scale);
      const T error = simd::sum(
          [&](const auto& v) {
            const simd::batch<T> d = simd::batch<T>(v) - round(simd::batch<T>(v)) * back;
            return d * d;
          },
          w);
      if (best != 0 && !(error < least)) continue;
      best = scale;
      least = error;
    }
    return best;
  }
};

}  // namespace tern::inline TERN_ABI
