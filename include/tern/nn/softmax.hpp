// Softmax of one row without overflow, for attention and the losses.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include "tern/core/simd.hpp"
#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// log(sum_i exp(factor * z[i])). The maximum is subtracted first, so that exp does not overflow. z
/// must not be empty.
template <class T>
T log_sum_exp(row_view<const T> z, T factor = T(1)) {
  const simd::batch<T> by(factor);
  const T top = simd::fold(
      -std::numeric_limits<T>::infinity(), simd::maximum{}, [&](const auto& a) { return a * by; },
      z);
  const simd::batch<T> shift(top);
  return top + std::log(simd::sum([&](const auto& a) { return simd::exp(a * by - shift); }, z));
}

/// Replaces z[i] by exp(z[i] - m), where m is the maximum, stores the sum of the new elements in
/// `sum`, and returns m. So log_sum_exp(z) is m + log(sum). Elements of -infinity become 0; at
/// least one element must be finite.
template <class T>
T exponentials(row_view<T> z, T& sum) {
  const T top = simd::fold(
      -std::numeric_limits<T>::infinity(), simd::maximum{}, [](const auto& a) { return a; },
      row_view<const T>(z));
  const simd::batch<T> shift(top);
  simd::transform(
      z, [&](const auto& a) { return simd::exp(a - shift); }, row_view<const T>(z));
  sum = simd::sum(row_view<const T>(z));
  return top;
}

}  // namespace tern::inline TERN_ABI
