// The scaling of AWQ (Activation-aware Weight Quantization, arXiv 2306.00978, section 3.2): input
// channels that are more active than others are multiplied by s > 1 before the rounding, and their
// inputs divided by it, so that they lose less:
//   s = a^alpha / sqrt(max(a^alpha) min(a^alpha)),  a = mean|x| of each channel,
// with the alpha of a grid on [0, 1) whose rounded weights have the smallest output error.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tern/calibrate/input_moments.hpp"
#include "tern/calibrate/output_error.hpp"
#include "tern/calibrate/scale_rule.hpp"
#include "tern/core/arena.hpp"
#include "tern/core/is_finite.hpp"
#include "tern/quant/scaled_trit.hpp"

namespace tern::inline TERN_ABI {

/// What AWQ has found for the layers that share an input.
template <class T>
struct awq_scales {
  /// K factors of the input channels. The layer computes Q(W diag(s)) (x / s); the caller divides
  /// x, usually by dividing the gain of the norm before the layer.
  std::vector<T> factors;
  double alpha = 0;           ///< the chosen power
  double relative_error = 0;  ///< error of the outputs after rounding to nearest with these factors
};

/// The AWQ functor.
struct awq {
  std::size_t grid = 20;   ///< number of powers 0, 1 / grid, ... that are tried, at least 1
  double smallest = 1e-4;  ///< channels below this multiple of the largest a count as that large

  /// Finds the factors for weights (M_i, K) that share the input of these moments. The scales of
  /// the codes come from a scale_rule. Power 0, which changes nothing, is among those tried, so the
  /// error is never larger than that of rounding to nearest. Throws shape_error, config_error for
  /// an empty grid, and numeric_error where weights or moments are not finite.
  template <class T, scale_rule<T> R>
  awq_scales<T> search(std::span<const matrix_view<const T>> weights,
                       const input_moments<T>& moments, const R& rule, arena& memory,
                       executor_ref ex = {}) const {
    if (grid == 0) throw config_error("awq: the grid must have at least 1 power");
    const matrix_view<const T> hessian = moments.hessian;
    for (const auto& w : weights) require_shape(w, w.rows, hessian.rows, "awq: weights");
    require_size(moments.mean_abs.size(), hessian.rows, "awq: channels of the moments");
    double energy = 0;
    for (const auto& w : weights) energy += output_energy<T>(w, hessian, memory, ex);
    awq_scales<T> best;
    double least = 0;
    for (std::size_t i = 0; i < grid; ++i) {
      const double alpha = static_cast<double>(i) / static_cast<double>(grid);
      const std::vector<T> factors = powers(moments.mean_abs, alpha);
      double error = 0;
      for (const auto& w : weights) error += error_of<T>(w, factors, hessian, rule, memory, ex);
      if (!is_finite(error))
        throw numeric_error("awq: the output error is not finite; check weights and moments");
      if (i != 0 && error >= least) continue;
      least = error;
      best = {factors, alpha, error == 0 ? 0 : error / energy};
    }
    return best;
  }

 private:
  template <class T>
  std::vector<T> powers(const std::vector<T>& mean_abs, double alpha) const {
    std::vector<T> s(mean_abs.size(), T(1));
    double largest = 0;
    for (const T a : mean_abs) largest = std::max(largest, static_cast<double>(a));
    if (largest == 0) return s;
    const auto clamped = [&](T a) { return std::max(static_cast<double>(a) / largest, smallest); };
    double least = 1;
    for (const T a : mean_abs) least = std::min(least, clamped(a));
    const double middle = std::sqrt(std::pow(least, alpha));  // the largest power is 1
    for (std::size_t c = 0; c < s.size(); ++c)
      s[c] = static_cast<T>(std::pow(clamped(mean_abs[c]), alpha) / middle);
    return s;
  }

  // tr(D H D^T) for D = W - Q(W diag(s)) diag(1 / s).
  template <class T, class R>
  static double error_of(matrix_view<const T> w, const std::vector<T>& factors,
                         matrix_view<const T> hessian, const R& rule, arena& memory,
                         executor_ref ex) {
    if (w.size() == 0) return 0;
    const arena_scope scope(memory);
    const extents block = rule.scale_block(w.rows, w.cols),
                  n = scale_extents({w.rows, w.cols}, block);
    const matrix_view<T> scaled = memory.matrix<T>(w.rows, w.cols),
                         scales = memory.matrix<T>(n.rows, n.cols);
    for_each_row(w.rows, w.cols, ex, [&](std::size_t r) {
      for (std::size_t c = 0; c < w.cols; ++c) scaled(r, c) = w(r, c) * factors[c];
    });
    find_positive_scales<T>(rule, scaled, scales, ex);
    for_each_row(w.rows, w.cols, ex, [&](std::size_t r) {
      for (std::size_t c = 0; c < w.cols; ++c) {
        const T scale = scales(r / block.rows, c / block.cols);
        const auto code = static_cast<T>(scaled_trit(scaled(r, c), scale));
        scaled(r, c) = w(r, c) - code * scale / factors[c];
      }
    });
    return output_energy<T>(scaled, hessian, memory, ex);
  }
};

}  // namespace tern::inline TERN_ABI
