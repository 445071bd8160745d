// What a quantizer policy must offer, and dequantization. A policy is a small struct whose only
// state are its constants; bit_linear, ste and the packers take any type that satisfies a concept
// here.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>

#include "tern/core/executor.hpp"
#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// A size in rows and columns.
struct extents {
  std::size_t rows = 0, cols = 0;  ///< in elements
  bool operator==(const extents&) const = default;
};

/// The shape of the scales of a matrix of size m that has a scale for each block. Blocks at the
/// edges may be cut.
constexpr extents scale_extents(extents m, extents block) {
  return {(m.rows + block.rows - 1) / block.rows, (m.cols + block.cols - 1) / block.cols};
}

/// q.scale_block(rows, cols) is the height and width of the block of weights that shares a scale,
/// both at least 1: (rows, cols) for one scale in all, (1, cols) for one for each row, (1, 256) for
/// one for every 256 columns. It may be static.
template <class Q>
concept has_scale_block = requires(const Q& q, std::size_t n) {
  { q.scale_block(n, n) } -> std::same_as<extents>;
};

/// q.template quantize<T>(weights, codes, scales, executor) fills codes of {-1, 0, +1}, and scales
/// of the shape scale_extents(). With blocks of bh x bw, element (r, c) stands for codes(r, c) *
/// scales(r / bh, c / bw).
template <class Q, class T>
concept quantizes_weights = requires(
    const Q& q, matrix_view<const T> w, matrix_view<std::int8_t> codes, matrix_view<T> scales,
    executor_ref ex) { q.template quantize<T>(w, codes, scales, ex); };

/// q.template quantize<T>(x, codes, scales, row_sums, executor) fills the codes, and a scale and
/// the sum of the codes for each row, which is a token. Element (r, c) stands for codes(r, c) *
/// scales[r].
template <class Q, class T>
concept quantizes_activations =
    requires(const Q& q, matrix_view<const T> x, matrix_view<std::int8_t> codes, row_view<T> scales,
             row_view<std::int32_t> row_sums,
             executor_ref ex) { q.template quantize<T>(x, codes, scales, row_sums, ex); };

/// A policy that quantizes weights.
template <class Q, class T>
concept weight_quantizer = std::copyable<Q> && has_scale_block<Q> && quantizes_weights<Q, T>;

/// A policy that quantizes activations.
template <class Q, class T>
concept activation_quantizer = std::copyable<Q> && quantizes_activations<Q, T>;

/// True for a weight_quantizer. Anything else stops the compilation with a sentence that says what
/// Q lacks.
template <class Q, class T>
consteval bool require_weight_quantizer() {
  static_assert(std::copyable<Q>, "a weight quantizer must be copyable");
  static_assert(has_scale_block<Q>,
                "a weight quantizer needs: extents scale_block(size_t rows, size_t cols) const");
  static_assert(quantizes_weights<Q, T>,
                "a weight quantizer needs: template <class T> void quantize(matrix_view<const T> "
                "w, matrix_view<int8_t> codes, matrix_view<T> scales, executor_ref) const");
  return true;
}

/// The same for an activation_quantizer.
template <class Q, class T>
consteval bool require_activation_quantizer() {
  static_assert(std::copyable<Q>, "an activation quantizer must be copyable");
  static_assert(quantizes_activations<Q, T>,
                "an activation quantizer needs: template <class T> void quantize(matrix_view<const "
                "T> x, matrix_view<int8_t> codes, row_view<T> scales, row_view<int32_t> row_sums, "
                "executor_ref) const");
  return true;
}

/// out(r, c) = codes(r, c) * scales(r / block.rows, c / block.cols). Throws shape_error.
template <class T>
void dequantize(matrix_view<const std::int8_t> codes, matrix_view<const T> scales, extents block,
                matrix_view<T> out, executor_ref ex = {}) {
  const extents n = scale_extents({codes.rows, codes.cols}, block);
  require_shape(scales, n.rows, n.cols, "dequantize: scales");
  require_shape(out, codes.rows, codes.cols, "dequantize: out");
  for_each_row(codes.rows, codes.cols, ex, [&](std::size_t r) {
    for (std::size_t c0 = 0; c0 < codes.cols; c0 += block.cols) {
      const T scale = scales(r / block.rows, c0 / block.cols);
      const std::size_t c1 = std::min(codes.cols, c0 + block.cols);
      for (std::size_t c = c0; c < c1; ++c) out(r, c) = static_cast<T>(codes(r, c)) * scale;
    }
  });
}

/// out(r, c) = codes(r, c) * scales[r]. Throws shape_error.
template <class T>
void dequantize(matrix_view<const std::int8_t> codes, row_view<const T> scales, matrix_view<T> out,
                executor_ref ex = {}) {
  require_size(scales.size, codes.rows, "dequantize: scales");
  require_shape(out, codes.rows, codes.cols, "dequantize: out");
  if (codes.cols == 0) return;
  dequantize<T>(codes, matrix_view<const T>(scales.data, codes.rows, 1, scales.stride),
                extents{1, codes.cols}, out, ex);
}

}  // namespace tern::inline TERN_ABI
