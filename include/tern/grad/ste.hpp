// Straight-through estimator (Bengio et al. 2013) around a quantizer policy: the forward pass
// rounds, the backward pass is the identity. BitNet writes it as y = x + stop_gradient(Q(x) - x).
#pragma once

#include <cstddef>
#include <cstdint>

#include "tern/core/arena.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/simd.hpp"
#include "tern/core/tensor.hpp"
#include "tern/quant/quantizer.hpp"

namespace tern::inline TERN_ABI {

/// `Quantizer` is a weight_quantizer or an activation_quantizer of T.
template <class Quantizer, class T = float>
struct ste {
  static_assert(weight_quantizer<Quantizer, T> || activation_quantizer<Quantizer, T>,
                "the quantizer of ste must be copyable and have, const and for any scalar, "
                "quantize(w, codes, scales, executor_ref) with scale_block(rows, cols), or "
                "quantize(x, codes, scales, row_sums, executor_ref)");

  /// y = x + lambda (Q(x) - x), where Q(x) is the dequantised code; exactly Q(x) for lambda = 1.
  /// lambda = min(step / warm, 1) is a warm-up that turns quantization on gradually. x and y have
  /// the same shape and may be the same matrix. `scratch` takes one byte per element and the
  /// scales.
  static void forward(matrix_view<const T> x, matrix_view<T> y, arena& scratch, T lambda = T(1),
                      executor_ref ex = {}, const Quantizer& quantizer = {}) {
    require_shape(y, x.rows, x.cols, "ste: y");
    const arena_scope temporaries(scratch);
    const matrix_view<T> rounded = lambda == T(1) ? y : scratch.template matrix<T>(x.rows, x.cols);
    round_trip(x, rounded, scratch, quantizer, ex);
    if (lambda == T(1)) return;
    const simd::batch<T> l(lambda);
    for (std::size_t r = 0; r < x.rows; ++r)
      simd::transform(
          y.row(r), [&](const auto& v, const auto& q) { return v + l * (q - v); }, x.row(r),
          row_view<const T>(rounded.row(r)));
  }

  /// dx += dy for any lambda. A null dx is skipped.
  static void backward(matrix_view<const T> dy, matrix_view<T> dx) {
    if (!dx) return;
    require_shape(dx, dy.rows, dy.cols, "ste: dx");
    for (std::size_t r = 0; r < dy.rows; ++r) simd::axpy(T(1), dy.row(r), dx.row(r));
  }

 private:
  static void round_trip(matrix_view<const T> x, matrix_view<T> out, arena& scratch,
                         const Quantizer& quantizer, executor_ref ex) {
    const matrix_view<std::int8_t> codes = scratch.template matrix<std::int8_t>(x.rows, x.cols);
    if constexpr (weight_quantizer<Quantizer, T>) {
      const extents scale_block = quantizer.scale_block(x.rows, x.cols);
      const extents n = scale_extents({x.rows, x.cols}, scale_block);
      const matrix_view<T> scales = scratch.template matrix<T>(n.rows, n.cols);
      quantizer.template quantize<T>(x, codes, scales, ex);
      dequantize<T>(codes, scales, scale_block, out, ex);
    } else {
      const row_view<T> scales(scratch.template allocate<T>(x.rows), x.rows);
      const row_view<std::int32_t> sums(scratch.template allocate<std::int32_t>(x.rows), x.rows);
      quantizer.template quantize<T>(x, codes, scales, sums, ex);
      dequantize<T>(codes, row_view<const T>(scales), out, ex);
    }
  }
};

}  // namespace tern::inline TERN_ABI
