// Improves ternary codes one at a time, when all others are known: with the target w of a row, its
// codes q with scales s, the damped hessian H of its input and g = H (w - s q), the value that
// suits column j best is
//   u_j = s_j q_j + g_j / H_jj,
// and its code becomes clip(round(u_j / s_j), -1, 1). Each change lowers (w - s q) H (w - s q)^T.
// GPTQ cannot take a code back when it comes to later columns; this does (as QuantEase does, arXiv
// 2309.01885).
#pragma once

#include <cstddef>
#include <cstdint>

#include "tern/calibrate/gptq.hpp"
#include "tern/core/arena.hpp"
#include "tern/core/error.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/is_finite.hpp"
#include "tern/core/simd.hpp"
#include "tern/linalg/gemm.hpp"
#include "tern/quant/scaled_trit.hpp"

namespace tern::inline TERN_ABI {

/// The coordinate descent functor.
struct coordinate_descent {
  std::size_t sweeps = 100;  ///< largest number of passes over all columns; 0: codes stay
  double damping = .02;      ///< multiple of the mean diagonal element, added to the diagonal

  /// weights (M, K) are the targets and hessian (K, K) is that of input_moments. `out` holds codes
  /// and scales, one for each `block` of weights. Codes are improved. Latents, unless null, become
  /// u, so that scaled_trit(latent, scale) is the code; `out.latents` may be `weights` itself. Rows
  /// do not depend on each other. Throws shape_error, and config_error for a damping that is
  /// negative or not finite.
  template <class T>
  void improve(matrix_view<const T> weights, matrix_view<const T> hessian, extents block,
               const calibrated_weights<T>& out, arena& memory, executor_ref ex = {}) const {
    const std::size_t m = weights.rows, k = weights.cols;
    require_shape(hessian, k, k, "coordinate_descent: hessian");
    require_shape(out.codes, m, k, "coordinate_descent: codes");
    const extents n = scale_extents({m, k}, block);
    require_shape(out.scales, n.rows, n.cols, "coordinate_descent: scales");
    if (out.latents) require_shape(out.latents, m, k, "coordinate_descent: latents");
    if (!(damping >= 0) || !is_finite(damping))
      throw config_error("coordinate_descent: the damping must be finite and at least 0");

    double trace = 0;
    for (std::size_t c = 0; c < k; ++c) trace += static_cast<double>(hessian(c, c));
    const T added = static_cast<T>(k == 0 ? 0 : damping * trace / static_cast<double>(k));
    const arena_scope scope(memory);
    const matrix_view<T> error = memory.matrix<T>(m, k), gradient = memory.matrix<T>(m, k);
    const auto scale_of = [&](std::size_t r, std::size_t c) {
      return out.scales(r / block.rows, c / block.cols);
    };
    for_each_row(m, k, ex, [&](std::size_t r) {
      for (std::size_t c = 0; c < k; ++c)
        error(r, c) = weights(r, c) - scale_of(r, c) * static_cast<T>(out.codes(r, c));
    });
    gemm<T>(T(1), error, hessian, gradient, false, ex);
    for_each_row(m, 8 * k, ex, [&](std::size_t r) {
      const row_view<T> g = gradient.row(r), e = error.row(r);
      // The best value of one column; that of an input that is never active is the weight.
      const auto best = [&](std::size_t c) {
        const T diagonal = hessian(c, c) + added;
        const T by = diagonal > T(0) ? (g[c] + added * e[c]) / diagonal : e[c];
        return scale_of(r, c) * static_cast<T>(out.codes(r, c)) + by;
      };
      bool changed = true;
      for (std::size_t sweep = 0; sweep < sweeps && changed; ++sweep) {
        changed = false;
        for (std::size_t c = 0; c < k; ++c) {
          const std::int8_t code = scaled_trit(best(c), scale_of(r, c));
          if (code == out.codes(r, c)) continue;
          const T step = scale_of(r, c) * static_cast<T>(code - out.codes(r, c));
          e[c] -= step;
          simd::axpy<T>(-step, hessian.row(c), g);
          out.codes(r, c) = code;
          changed = true;
        }
      }
      if (!out.latents) return;
      for (std::size_t c = 0; c < k; ++c)
        out.latents(r, c) = nearest_with_code(best(c), scale_of(r, c), out.codes(r, c));
    });
  }
};

}  // namespace tern::inline TERN_ABI
