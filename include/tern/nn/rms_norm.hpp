// RMSNorm (Zhang and Sennrich 2019): y = x / sqrt(mean(x^2) + eps) * gain over each row. BitNet and
// BitDistill call it SubLN if it stands directly before the output projection or the down
// projection.
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>

#include "tern/core/executor.hpp"
#include "tern/core/is_finite.hpp"
#include "tern/core/simd.hpp"
#include "tern/core/tensor.hpp"
#include "tern/isa/level.hpp"
#include "tern/nn/norm_rows.hpp"
#include "tern/nn/rowwise.hpp"

namespace tern::inline TERN_ABI {

template <class T>
struct rms_norm {
  /// x, y: (N, D), y may be the same matrix as x; gain: D elements, or null for ones. inv_rms: N
  /// elements that the backward pass needs, or null if there is none. To normalise H heads pass a
  /// (N * H, D) view.
  static void forward(matrix_view<const T> x, row_view<const T> gain, T eps, matrix_view<T> y,
                      row_view<T> inv_rms, executor_ref ex = {}) {
    require_shape(y, x.rows, x.cols, "rms_norm: y");
    if (inv_rms) require_size(inv_rms.size, x.rows, "rms_norm: inv_rms");
    const T one(1);
    const bool dense = x.col_stride == 1 && y.col_stride == 1 && (!gain || gain.stride == 1);
    const T* const factors = gain.data;
    gain = or_ones(gain, x.cols, one);
    const auto one_row = [&](std::size_t r) {
      const T mean = simd::dot(x.row(r), x.row(r)) / static_cast<T>(x.cols);
      const T inv = T(1) / (is_finite(mean) ? std::sqrt(mean + eps) : root_mean(x.row(r)));
      if (inv_rms) inv_rms[r] = inv;
      const simd::batch<T> factor(inv);
      simd::transform(
          y.row(r), [&](const auto& v, const auto& g) { return v * factor * g; }, x.row(r), gain);
    };
    if constexpr (std::same_as<T, float>)
      if (const auto normalize = norm::rows.at(isa::active()).normalize;
          normalize != nullptr && dense)
        return ex.parallel_for(
            x.rows, rows_per_chunk(x.cols), [&](std::size_t begin, std::size_t end) {
              for (std::size_t r = begin; r < end; ++r) {
                r += normalize({x.row(r).data, x.row_stride, end - r, x.cols, factors, eps},
                               y.row(r).data, y.row_stride, inv_rms ? &inv_rms[r] : nullptr,
                               inv_rms.stride);
                if (r < end) one_row(r);
              }
            });
    for_each_row(x.rows, x.cols, ex, one_row);
  }

  /// With u = x inv_rms: dx += inv_rms (dy gain - u mean(dy gain u)), dgain += sum over rows of
  /// dy u. Null outputs are skipped.
  static void backward(matrix_view<const T> dy, matrix_view<const T> x, row_view<const T> gain,
                       row_view<const T> inv_rms, matrix_view<T> dx, row_view<T> dgain,
                       executor_ref ex = {}) {
    require_shape(dy, x.rows, x.cols, "rms_norm: dy");
    require_size(inv_rms.size, x.rows, "rms_norm: inv_rms");
    if (dx) input_gradient(dy, x, gain, inv_rms, dx, ex);
    if (dgain) gain_gradient(dy, x, inv_rms, dgain, ex);
  }

 private:
  /// Root of the mean square of a row whose squares overflow; `eps` is nothing beside it.
  static T root_mean(row_view<const T> row) {
    return simd::norm(row) / std::sqrt(static_cast<T>(row.size));
  }

  static row_view<const T> or_ones(row_view<const T> gain, std::size_t n, const T& one) {
    if (!gain) return {&one, n, 0};
    require_size(gain.size, n, "rms_norm: gain");
    return gain;
  }

  static void input_gradient(matrix_view<const T> dy, matrix_view<const T> x,
                             row_view<const T> gain, row_view<const T> inv_rms, matrix_view<T> dx,
                             executor_ref ex) {
    require_shape(dx, x.rows, x.cols, "rms_norm: dx");
    const T one(1);
    gain = or_ones(gain, x.cols, one);
    for_each_row(x.rows, x.cols, ex, [&](std::size_t r) {
      const auto product = [](const auto& d, const auto& v, const auto& g) { return d * v * g; };
      const T inv = inv_rms[r], n = static_cast<T>(x.cols);
      const T along = simd::sum(product, dy.row(r), x.row(r), gain) * inv * inv * inv / n;
      const simd::batch<T> a(inv), b(along);
      simd::transform(
          dx.row(r),
          [&](const auto& d, const auto& v, const auto& g, const auto& before) {
            return before + (d * g * a - v * b);
          },
          dy.row(r), x.row(r), gain, row_view<const T>(dx.row(r)));
    });
  }

  static constexpr std::size_t rows_ahead = 8;

  /// Fetches a part of a row into the cache. Neighbouring rows of a wide matrix lie on different
  /// pages, where the CPU does not fetch by itself.
  static void fetch(matrix_view<const T> m, std::size_t row, std::size_t first, std::size_t count) {
    if (row >= m.rows || m.col_stride != 1) return;
    const T* const part = &m(row, first);
    for (std::size_t i = 0; i < count; i += 64 / sizeof(T)) __builtin_prefetch(part + i);
  }

  static void gain_gradient(matrix_view<const T> dy, matrix_view<const T> x,
                            row_view<const T> inv_rms, row_view<T> dgain, executor_ref ex) {
    require_size(dgain.size, x.cols, "rms_norm: dgain");
    for_column_blocks(x.rows, x.cols, ex, [&](std::size_t first, std::size_t count) {
      const row_view<T> out(&dgain[first], count, dgain.stride);
      for (std::size_t r = 0; r < x.rows; ++r) {
        fetch(dy, r + rows_ahead, first, count);
        fetch(x, r + rows_ahead, first, count);
        const simd::batch<T> inv(inv_rms[r]);
        simd::transform(
            out,
            [&](const auto& d, const auto& v, const auto& before) { return before + d * v * inv; },
            dy.col_block(first, count).row(r), x.col_block(first, count).row(r),
            row_view<const T>(out));
      }
    });
  }
};

/// SubLN (BitDistill, section 3.1) is an RMSNorm directly before a quantized projection. Its gain
/// is initialised to ones. This is the same function under the name that the paper uses.
template <class T>
using sub_ln = rms_norm<T>;

}  // namespace tern::inline TERN_ABI
