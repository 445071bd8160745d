// How policies round real weights to trits. absmean, per_channel and block share the rule
//   code = clip(round(w / (D + eps)), -1, 1),  half to even,
// where D is the mean of |w| over all weights that share a scale.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "tern/core/executor.hpp"
#include "tern/core/is_finite.hpp"
#include "tern/quant/codes.hpp"

namespace tern::inline TERN_ABI::quant {

/// Returns `scale`. Throws numeric_error, with the name of the policy, where it is not finite.
template <class T>
T finite_scale(T scale, std::string_view policy) {
  if (is_finite(scale)) return scale;
  throw numeric_error(std::string(policy) + ": the mean of |weights| is not finite");
}

/// Stores +1 for factor * w > threshold, -1 for factor * w < -threshold, and else 0.
template <class T>
void store_trits_above(row_view<const T> w, row_view<std::int8_t> codes, T threshold,
                       T factor = T(1)) {
  const simd::batch<T> limit(threshold), times(factor), zero(T(0)), one(T(1));
  store_codes<T>(w, codes, [&](const simd::batch<T>& v) {
    const simd::batch<T> scaled = times * v;
    return simd::select(scaled > limit, one, zero) - simd::select(scaled < -limit, one, zero);
  });
}

/// Stores the codes of weights whose scale is `mean`.
template <class T>
void store_trits(row_view<const T> w, row_view<std::int8_t> codes, T mean, double eps) {
  // round(w / d) is +1 exactly where w > d / 2, since a tie goes to the even 0.
  store_trits_above<T>(w, codes, (mean + static_cast<T>(eps)) / 2);
}

/// Quantizes with a scale for every `width` columns of a row: w (M, K) -> codes (M, K), scales (M,
/// ceil(K / width)). `policy` is named in errors.
template <class T>
void quantize_groups(matrix_view<const T> w, matrix_view<std::int8_t> codes, matrix_view<T> scales,
                     std::size_t width, double eps, std::string_view policy, executor_ref ex) {
  require_shape(codes, w.rows, w.cols, std::string(policy) + ": codes");
  require_shape(scales, w.rows, (w.cols + width - 1) / width, std::string(policy) + ": scales");
  for_each_row(w.rows, w.cols, ex, [&](std::size_t r) {
    for (std::size_t c = 0, i = 0; c < w.cols; c += width, ++i) {
      const std::size_t n = std::min(width, w.cols - c);
      const row_view<const T> group = w.block(r, c, 1, n).row(0);
      const T mean = static_cast<T>(sum_abs(group) / static_cast<double>(n));
      scales(r, i) = finite_scale(mean, policy);
      store_trits<T>(group, codes.block(r, c, 1, n).row(0), mean, eps);
    }
  });
}

}  // namespace tern::inline TERN_ABI::quant
