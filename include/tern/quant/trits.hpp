// How policies round real weights to trits. absmean, per_channel and block share the rule
//   code = clip(round(w / (D + eps)), -1, 1),  half to even,
// where D is the mean of |w| over all weights that share a scale.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
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
  using reals [[gnu::vector_size(8 * sizeof(T))]] = T;
  using shorts [[gnu::vector_size(16)]] = std::int16_t;
  using bytes [[gnu::vector_size(8)]] = std::int8_t;
  std::size_t i = 0;
  if (w.stride == 1 && codes.stride == 1)
    for (; i + 8 <= w.size; i += 8) {
      reals v;
      std::memcpy(&v, w.data + i, sizeof v);
      v *= factor;
      // A comparison of vectors is -1 where it holds.
      const auto trits = (v < -threshold) - (v > threshold);
      const bytes b = __builtin_convertvector(__builtin_convertvector(trits, shorts), bytes);
      std::memcpy(codes.data + i, &b, sizeof b);
    }
  for (; i < w.size; ++i) {
    const T v = w[i] * factor;
    codes[i] = static_cast<std::int8_t>((v > threshold) - (v < -threshold));
  }
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
