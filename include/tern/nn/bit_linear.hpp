// BitLinear (BitNet b1.58; BitNet Distillation, section 3.1): y = Qa(x) Qw(w)^T + b. The product is
// computed in integers and scaled once, so training, evaluation and packed inference agree to the
// last bit. The backward pass treats both roundings as the identity (straight-through).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tern/core/arena.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/tensor.hpp"
#include "tern/linalg/gemm.hpp"
#include "tern/linalg/scaled_codes.hpp"
#include "tern/nn/linear.hpp"
#include "tern/nn/packed_linear.hpp"
#include "tern/nn/rms_norm.hpp"
#include "tern/nn/rowwise.hpp"
#include "tern/pack/packed_matrix.hpp"
#include "tern/pack/ternary_weights.hpp"
#include "tern/pack/two_bit.hpp"
#include "tern/quant/absmax_int8.hpp"
#include "tern/quant/absmean.hpp"
#include "tern/quant/quantizer.hpp"

namespace tern::inline TERN_ABI {

/// Stands for a bit_linear that has no norm of its own.
struct no_norm {};

/// WeightQ is a weight_quantizer and ActQ an activation_quantizer. Norm is no_norm, or sub_ln<T>,
/// which is applied to x first. For a warm-up of the quantization use ste on both operands, then
/// linear.
template <class T, class WeightQ = absmean, class ActQ = absmax_int8, class Norm = no_norm>
struct bit_linear {
  static_assert(require_weight_quantizer<WeightQ, T>() && require_activation_quantizer<ActQ, T>());

  /// The values that the backward pass needs: both operands as codes.
  struct saved {
    matrix_view<std::int8_t> x_codes;  ///< (N, K)
    row_view<T> x_scales;              ///< N
    row_view<std::int32_t> x_sums;     ///< N, sums of the codes of each row
    matrix_view<std::int8_t> w_codes;  ///< (M, K)
    matrix_view<T> w_scales;           ///< scale_extents of w_block, best in column-major order
    extents w_block;                   ///< rows and columns of w that share a scale
  };

  /// Takes uninitialised memory for N x K activations and M x K weights. It is valid until `memory`
  /// is rewound.
  static saved make_saved(arena& memory, std::size_t n, std::size_t k, std::size_t m,
                          const WeightQ& weight_quantizer = {}) {
    const extents block = weight_quantizer.scale_block(m, k), scales = scale_extents({m, k}, block);
    return {memory.matrix<std::int8_t>(n, k),
            {memory.allocate<T>(n), n},
            {memory.allocate<std::int32_t>(n), n},
            memory.matrix<std::int8_t>(m, k),
            memory.matrix<T>(scales.cols, scales.rows).transposed(),
            block};
  }

  /// x: (N, K), w: (M, K), bias: M elements or null, y: (N, M). `scratch` holds about K (M / 4 + N)
  /// bytes during the call. Throws shape_error.
  static void forward(matrix_view<const T> x, matrix_view<const T> w, row_view<const T> bias,
                      matrix_view<T> y, const saved& s, arena& scratch, executor_ref ex = {},
                      const WeightQ& weight_quantizer = {}, const ActQ& activation_quantizer = {}) {
    require_shape(x, y.rows, w.cols, "bit_linear: x");
    require_shape(w, y.cols, x.cols, "bit_linear: w");
    if (s.w_block.rows == 0 || s.w_block.cols == 0)
      throw shape_error("bit_linear: the block of the saved values is empty");
    weight_quantizer.template quantize<T>(w, s.w_codes, s.w_scales, ex);
    activation_quantizer.template quantize<T>(x, s.x_codes, s.x_scales, s.x_sums, ex);
    const arena_scope temporaries(scratch);
    const packed_view<two_bit> shape{nullptr, w.rows, w.cols, s.w_block.cols};
    auto* packed = scratch.allocate<packed_line>(shape.size_bytes() / sizeof(packed_line));
    using product = packed_linear<T, ActQ>;
    const typename product::template output<two_bit> to{
        pack<two_bit>(s.w_codes, s.w_block.cols, packed, ex), s.w_scales, s.w_block.rows, bias, y};
    product::template multiply<two_bit>({s.x_codes, s.x_scales, s.x_sums}, {&to, 1}, scratch, ex);
  }

  /// The straight-through gradient: dx += dy Wq, dw += dy^T Xq, dbias += column sums of dy, where
  /// Wq and Xq are the dequantised operands. Null outputs are skipped. With precision::bf16 the
  /// codes are exact, and their scales multiply dy before it is rounded, except where a row of
  /// weights has several scales: there Wq is rounded. With precision::int8 each row of dy, times
  /// the scales of the weights, is rounded to 8 bits for dx, unless a row of weights has several
  /// scales. Throws shape_error.
  static void backward(matrix_view<const T> dy, const saved& s, matrix_view<T> dx,
                       matrix_view<T> dw, row_view<T> dbias, arena& scratch, executor_ref ex = {},
                       precision p = precision::exact) {
    require_shape(dy, s.x_codes.rows, s.w_codes.rows, "bit_linear: dy");
    if (dx) {
      const scaled_codes<T> w{s.w_codes, s.w_scales, s.w_block};
      if (w.has_row_scales() && p == precision::int8)
        add_integer_product(dy, w, dx, scratch, ex);
      else
        gemm<T>(dy, w, dx, true, scratch, ex, p);
    }
    if (dw) weight_gradient(dy, s, dw, true, scratch, ex, p);
    if (dbias) linear<T>::add_column_sums(dy, dbias, ex);
  }

  /// The part of backward() for the weights: dw = dy^T Xq, or dw += dy^T Xq.
  static void weight_gradient(matrix_view<const T> dy, const saved& s, matrix_view<T> dw,
                              bool accumulate, arena& scratch, executor_ref ex = {},
                              precision p = precision::exact) {
    require_shape(dw, s.w_codes.rows, s.w_codes.cols, "bit_linear: dw");
    if (dw.size() == 0) return;
    const matrix_view<const T> scales(s.x_scales.data, s.x_codes.rows, 1, s.x_scales.stride);
    gemm<T>(dy.transposed(), {s.x_codes, scales, {1, s.x_codes.cols}}, dw, accumulate, scratch, ex,
            p);
  }

 private:
  /// dx += Qa(dy * scales of the weights) * codes of the weights
  static void add_integer_product(matrix_view<const T> dy, const scaled_codes<T>& w,
                                  matrix_view<T> dx, arena& scratch, executor_ref ex) {
    const arena_scope temporaries(scratch);
    const row_view<const T> scales = w.row_scales();
    const auto scaled = scratch.matrix<T>(dy.rows, dy.cols);
    for_each_row(dy.rows, dy.cols, ex, [&](std::size_t r) {
      for (std::size_t c = 0; c < dy.cols; ++c) scaled(r, c) = dy(r, c) * scales[c];
    });
    // Gradients may be far smaller than the eps that suits activations.
    const absmax_int8 quantizer{1e-30};
    const auto tokens = packed_linear<T>::quantize(scaled, scratch, ex, quantizer);
    const packed_view<two_bit> shape{nullptr, dx.cols, dy.cols};
    auto* lines = scratch.allocate<packed_line>(shape.size_bytes() / sizeof(packed_line));
    const auto packed = pack<two_bit>(w.codes.transposed(), dy.cols, lines, ex);
    const T one(1);
    const typename packed_linear<T>::template output<two_bit> to{packed, {&one, 1, 1}, dx.cols,
                                                                 {},     dx,           dx};
    packed_linear<T>::template multiply<two_bit>(tokens, {&to, 1}, scratch, ex);
  }
};

/// BitLinear with SubLN before the quantization: y = Qa(sub_ln(x)) Qw(w)^T + b.
template <class T, class WeightQ, class ActQ>
struct bit_linear<T, WeightQ, ActQ, sub_ln<T>> {
  using product = bit_linear<T, WeightQ, ActQ>;  ///< the product without the norm

  /// The values that the backward pass needs.
  struct saved {
    typename product::saved codes;  ///< codes of sub_ln(x) and of w
    row_view<T> inv_rms;            ///< N, one for each row of x
  };

  /// Takes uninitialised memory for N x K activations and M x K weights. It is valid until `memory`
  /// is rewound.
  static saved make_saved(arena& memory, std::size_t n, std::size_t k, std::size_t m,
                          const WeightQ& weight_quantizer = {}) {
    return {product::make_saved(memory, n, k, m, weight_quantizer), {memory.allocate<T>(n), n}};
  }

  /// gain: K elements, or null for ones. The other arguments are those of the form without a norm.
  static void forward(matrix_view<const T> x, row_view<const T> gain, T eps, matrix_view<const T> w,
                      row_view<const T> bias, matrix_view<T> y, const saved& s, arena& scratch,
                      executor_ref ex = {}, const WeightQ& weight_quantizer = {},
                      const ActQ& activation_quantizer = {}) {
    const arena_scope temporaries(scratch);
    const auto normed = scratch.matrix<T>(x.rows, x.cols);
    sub_ln<T>::forward(x, gain, eps, normed, s.inv_rms, ex);
    product::forward(normed, w, bias, y, s.codes, scratch, ex, weight_quantizer,
                     activation_quantizer);
  }

  /// x and gain must be those of forward(); dgain: K elements. Null outputs are skipped.
  static void backward(matrix_view<const T> dy, matrix_view<const T> x, row_view<const T> gain,
                       const saved& s, matrix_view<T> dx, row_view<T> dgain, matrix_view<T> dw,
                       row_view<T> dbias, arena& scratch, executor_ref ex = {},
                       precision p = precision::exact) {
    const arena_scope temporaries(scratch);
    const auto dnormed = scratch.matrix<T>(x.rows, x.cols);
    std::fill_n(dnormed.data, dnormed.size(), T(0));
    product::backward(dy, s.codes, dnormed, dw, dbias, scratch, ex, p);
    sub_ln<T>::backward(dnormed, x, gain, s.inv_rms, dx, dgain, ex);
  }
};

}  // namespace tern::inline TERN_ABI
