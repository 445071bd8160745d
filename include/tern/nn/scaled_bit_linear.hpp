// BitLinear whose weight scales are parameters: y = Qa(x) Qw(w; s)^T + b with
//   Qw(w; s) = s * clip(round(w / s), -1, 1),
// where each block of weights has a scale s of its own. The scales are trained with the gradient of
// LSQ (arXiv 1902.08153) for this rounding, as in ParetoQ (arXiv 2502.02631).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "tern/core/arena.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/tensor.hpp"
#include "tern/linalg/precision.hpp"
#include "tern/nn/bit_linear.hpp"
#include "tern/quant/absmax_int8.hpp"
#include "tern/quant/given_scales.hpp"

namespace tern::inline TERN_ABI {

/// What the rounding passes on to weights that it clips, those with |w / s| >= 1.5.
enum class clipped_gradient {
  straight,  ///< the gradient of the rounded weight, as for all other weights (BitNet)
  none,      ///< nothing (LSQ, ParetoQ's SEQ)
};

/// ActQ is an activation_quantizer. The forward pass has the bits of bit_linear with the policy
/// given_scales, and so of packed inference.
template <class T, class ActQ = absmax_int8>
struct scaled_bit_linear {
  using product = bit_linear<T, given_scales<T>, ActQ>;  ///< the product without the scales' part
  using saved = typename product::saved;                 ///< the values that the backward needs

  /// Takes uninitialised memory for N x K activations and M x K weights, with a scale for each
  /// `block`. It is valid until `memory` is rewound.
  static saved make_saved(arena& memory, std::size_t n, std::size_t k, std::size_t m,
                          extents block) {
    return product::make_saved(memory, n, k, m, {{}, block});
  }

  /// x: (N, K), w: (M, K), scales: scale_extents({M, K}, s.w_block), bias: M elements or null, y:
  /// (N, M). `scratch` is that of bit_linear. Throws shape_error, and numeric_error where a scale
  /// is not finite.
  static void forward(matrix_view<const T> x, matrix_view<const T> w, matrix_view<const T> scales,
                      row_view<const T> bias, matrix_view<T> y, const saved& s, arena& scratch,
                      executor_ref ex = {}, const ActQ& activation_quantizer = {}) {
    product::forward(x, w, bias, y, s, scratch, ex, {scales, s.w_block}, activation_quantizer);
  }

  /// With G = dy^T Xq, the gradient of the rounded weights, and q the codes:
  ///   dx += dy Wq;  dw += G, or 0 where `clipped` says so;  dbias += column sums of dy;
  ///   dscales += sums over the block of G (q - w / s) where |w / s| < 1.5, of G q elsewhere.
  /// w must be that of forward(). Null outputs are skipped. `scratch` holds M K elements.
  static void backward(matrix_view<const T> dy, matrix_view<const T> w, const saved& s,
                       matrix_view<T> dx, matrix_view<T> dw, matrix_view<T> dscales,
                       row_view<T> dbias, arena& scratch, executor_ref ex = {},
                       precision p = precision::exact,
                       clipped_gradient clipped = clipped_gradient::straight) {
    if (!dscales && (!dw || clipped == clipped_gradient::straight))
      return product::backward(dy, s, dx, dw, dbias, scratch, ex, p);
    require_shape(w, s.w_codes.rows, s.w_codes.cols, "scaled_bit_linear: w");
    const arena_scope temporaries(scratch);
    const auto g = scratch.matrix<T>(w.rows, w.cols);
    std::fill_n(g.data, g.size(), T(0));
    product::backward(dy, s, dx, g, dbias, scratch, ex, p);
    if (dscales) add_scale_gradient(g, w, s, dscales, scratch, ex);
    if (dw) add_weight_gradient(g, w, s, dw, clipped, ex);
  }

 private:
  static constexpr T limit = T(1.5);  // from here on, round(w / s) is outside of [-1, 1]

  /// Sums each row's part of each block in double, in an order that depends on the shape alone, and
  /// then the rows of a block.
  static void add_scale_gradient(matrix_view<const T> g, matrix_view<const T> w, const saved& s,
                                 matrix_view<T> dscales, arena& scratch, executor_ref ex) {
    require_shape(dscales, s.w_scales.rows, s.w_scales.cols, "scaled_bit_linear: dscales");
    const arena_scope temporaries(scratch);
    const auto parts = scratch.matrix<double>(w.rows, dscales.cols);
    for_each_row(w.rows, w.cols, ex, [&](std::size_t r) {
      for (std::size_t i = 0, c = 0; i < parts.cols; ++i, c += s.w_block.cols) {
        const std::size_t width = std::min(s.w_block.cols, w.cols - c);
        parts(r, i) = sum_of_group(g.block(r, c, 1, width).row(0), w.block(r, c, 1, width).row(0),
                                   &s.w_codes(r, c), 1 / s.w_scales(r / s.w_block.rows, i));
      }
    });
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t i = 0; i < parts.cols; ++i)
        dscales(r / s.w_block.rows, i) += static_cast<T>(parts(r, i));
  }

  /// Sum of g times the derivative of the rounded weight with respect to the scale, in eight lanes,
  /// which the compiler turns into vectors.
  static double sum_of_group(row_view<const T> g, row_view<const T> w, const std::int8_t* codes,
                             T inverse) {
    std::array<double, 8> lanes{};
    const auto term = [&](std::size_t i) {
      const T x = w[i] * inverse, code = static_cast<T>(codes[i]);
      return static_cast<double>(g[i] * (std::abs(x) < limit ? code - x : code));
    };
    std::size_t i = 0;
    for (; i + lanes.size() <= w.size; i += lanes.size())
      for (std::size_t k = 0; k < lanes.size(); ++k) lanes[k] += term(i + k);
    for (; i < w.size; ++i) lanes[i % lanes.size()] += term(i);
    return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) +
           ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
  }

  static void add_weight_gradient(matrix_view<const T> g, matrix_view<const T> w, const saved& s,
                                  matrix_view<T> dw, clipped_gradient clipped, executor_ref ex) {
    require_shape(dw, w.rows, w.cols, "scaled_bit_linear: dw");
    for_each_row(w.rows, w.cols, ex, [&](std::size_t r) {
      for (std::size_t i = 0, c = 0; c < w.cols; ++i) {
        const T inverse = 1 / s.w_scales(r / s.w_block.rows, i);
        for (const std::size_t end = std::min(c + s.w_block.cols, w.cols); c < end; ++c)
          if (clipped == clipped_gradient::straight || std::abs(w(r, c) * inverse) < limit)
            dw(r, c) += g(r, c);
      }
    });
  }
};

}  // namespace tern::inline TERN_ABI
