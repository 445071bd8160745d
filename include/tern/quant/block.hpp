// Ternary weights with one scale to each N columns of a row (BitNet Distillation, "block"):
//   D = mean|W| of the block,  Q(W) = D * clip(round(W / (D + eps)), -1, 1),  half to even.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tern/quant/quantizer.hpp"
#include "tern/quant/trits.hpp"

namespace tern::inline TERN_ABI {

/// Usual N: 64, 128, 256. Blocks begin anew in every row, the last one of a row may be shorter. The
/// paper's code cuts the matrix as one flat array into blocks of 256 instead, which is the same
/// where K is a multiple of 256.
template <std::size_t N>
  requires(N > 0)
struct block {
  /// Keeps the quotient finite; blocks far below it become 0. Must be positive.
  double eps = 1e-5;

  /// N columns of a row.
  static constexpr extents scale_block(std::size_t, std::size_t) { return {1, N}; }

  /// weights (M, K) -> codes (M, K) of {-1, 0, +1}, scales (M, ceil(K / N)). Each mean is taken as
  /// that of absmean. Throws numeric_error where one is not finite.
  template <class T>
  void quantize(matrix_view<const T> weights, matrix_view<std::int8_t> codes, matrix_view<T> scales,
                executor_ref ex = {}) const {
    quant::quantize_runs<T>(weights, codes, scales, N, eps, "block", ex);
  }
};

}  // namespace tern::inline TERN_ABI
