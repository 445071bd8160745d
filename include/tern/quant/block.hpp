// Ternary weights with a scale for every N columns of a row (BitNet Distillation, "block"):
//   D = mean|W| of the block,  Q(W) = D * clip(round(W / (D + eps)), -1, 1),  half to even.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tern/quant/quantizer.hpp"
#include "tern/quant/trits.hpp"

namespace tern::inline TERN_ABI {

/// N is usually 64, 128 or 256. Blocks begin anew in every row, and the last one of a row may be
/// shorter. The paper's code cuts the matrix, seen as one flat array, into blocks of 256 instead;
/// that is the same where K is a multiple of 256.
template <std::size_t N>
  requires(N > 0)
struct block {
  /// Keeps the quotient finite; blocks of far smaller weights become 0. Must be positive.
  double eps = 1e-5;

  /// N columns of a row.
  static constexpr extents scale_block(std::size_t, std::size_t) { return {1, N}; }

  /// weights (M, K) -> codes (M, K) of {-1, 0, +1}, scales (M, ceil(K / N)). Means are taken as in
  /// absmean. Throws shape_error, and numeric_error where a mean is not finite.
  template <class T>
  void quantize(matrix_view<const T> weights, matrix_view<std::int8_t> codes, matrix_view<T> scales,
                executor_ref ex = {}) const {
    quant::quantize_groups<T>(weights, codes, scales, N, eps, "block", ex);
  }
};

}  // namespace tern::inline TERN_ABI
