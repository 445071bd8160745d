// BitLinear whose weight scales are parameters: y = Qa(x) Qw(w; s)^T + b with
//   Qw(w; s) = s * clip(round(w / s), -1, 1),
// where each block of weights has a scale s of its own. The scales are trained with the gradient of
// LSQ (arXiv 1902.08153) for this rounding, as in ParetoQ (arXiv 2502.02631).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

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
    product::backward(dy, s, dx, {}, dbias, scratch, ex, p);
    product::weight_gradient(dy, s, g, false, scratch, ex, p);
    pass_on({g, w, dw, clipped}, s, dscales, scratch, ex);
  }

 private:
  static constexpr T limit = T(1.5);  // from here on, round(w / s) is outside of [-1, 1]

  /// What the gradient of the rounded weights is passed on through.
  struct gradients {
    matrix_view<const T> rounded;  ///< G
    matrix_view<const T> w;        ///< the weights
    matrix_view<T> dw;             ///< may be null
    clipped_gradient clipped;      ///< gradient of clipped weights
  };

  /// One pass over the weights. Each row's part of each block is summed in an order that depends on
  /// the shape alone, and then the rows of a block are.
  static void pass_on(const gradients& g, const saved& s, matrix_view<T> dscales, arena& scratch,
                      executor_ref ex) {
    const auto [rows, cols] = extents{g.w.rows, g.w.cols};
    const extents blocks = scale_extents({rows, cols}, s.w_block);
    if (dscales) require_shape(dscales, blocks.rows, blocks.cols, "scaled_bit_linear: dscales");
    if (g.dw) require_shape(g.dw, rows, cols, "scaled_bit_linear: dw");
    const arena_scope temporaries(scratch);
    const auto parts = scratch.matrix<double>(rows, blocks.cols);
    for_each_row(rows, 4 * cols, ex, [&](std::size_t r) {  // rows of four matrices are work
      for (std::size_t i = 0, c = 0; i < blocks.cols; ++i, c += s.w_block.cols)
        parts(r, i) = of_group(g, &s.w_codes(r, c), r, c, std::min(s.w_block.cols, cols - c),
                               1 / s.w_scales(r / s.w_block.rows, i));
    });
    if (!dscales) return;
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t i = 0; i < blocks.cols; ++i)
        dscales(r / s.w_block.rows, i) += static_cast<T>(parts(r, i));
  }

  /// Adds to dw of columns [c, c + size) of row r, and returns the sum of G times the derivative of
  /// the rounded weight with respect to the scale. Vectors of the compiler are used at every
  /// optimisation level.
  static double of_group(const gradients& g, const std::int8_t* codes, std::size_t r, std::size_t c,
                         std::size_t size, T inverse) {
    using reals [[gnu::vector_size(8 * sizeof(T))]] = T;
    using bytes [[gnu::vector_size(8)]] = std::int8_t;
    const auto load = [](auto& to, const auto* from) { std::memcpy(&to, from, sizeof to); };
    const reals zero{};
    const T* const rounded = &g.rounded(r, c);
    const T* const w = &g.w(r, c);
    T* const dw = g.dw ? &g.dw(r, c) : nullptr;
    const bool adds = dw != nullptr && g.dw.col_stride == 1, all = g.clipped == straight;
    reals sum{};
    std::size_t i = 0;
    if (g.w.col_stride == 1 && (adds || dw == nullptr))
      for (; i + 8 <= size; i += 8) {
        reals d, x, out;
        bytes code;
        load(d, rounded + i);
        load(x, w + i);
        load(code, codes + i);
        x *= inverse;
        const auto inside = (x < limit) & (x > -limit);
        sum += d * (__builtin_convertvector(code, reals) - (inside ? x : zero));
        if (!adds) continue;
        load(out, dw + i);
        out += all ? d : (inside ? d : zero);
        std::memcpy(dw + i, &out, sizeof out);
      }
    double total = 0;
    for (std::size_t k = 0; k < 8; ++k) total += static_cast<double>(sum[k]);
    for (; i < size; ++i) {
      const T d = rounded[i], x = g.w(r, c + i) * inverse;
      const bool inside = std::abs(x) < limit;
      total += static_cast<double>(d * (static_cast<T>(codes[i]) - (inside ? x : T(0))));
      if (dw != nullptr && (all || inside)) g.dw(r, c + i) += d;
    }
    return total;
  }

  static constexpr auto straight = clipped_gradient::straight;
};

}  // namespace tern::inline TERN_ABI
