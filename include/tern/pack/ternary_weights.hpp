// A quantized weight matrix as a whole: packed codes and their scales.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tern/core/executor.hpp"
#include "tern/core/tensor.hpp"
#include "tern/pack/packed_matrix.hpp"
#include "tern/pack/scale_view.hpp"
#include "tern/quant/quantizer.hpp"

namespace tern::inline TERN_ABI {

/// A view: weight (r, c) is code (r, c) times scales()(r / scale_rows, c / packed.scale_cols).
template <pack_format Format, class T = float>
struct ternary_weights_view {
  packed_view<Format> packed;     ///< (out, in); columns that share a scale are a group
  std::size_t scale_rows = 1;     ///< rows that share a scale
  const T* scale_data = nullptr;  ///< elements of scales(), panel after panel

  /// Shape of the matrix: (out, in).
  [[nodiscard]] std::size_t rows() const { return packed.rows; }
  [[nodiscard]] std::size_t cols() const { return packed.cols; }
  /// The size of a block of weights that share a scale.
  [[nodiscard]] extents block() const { return {scale_rows, packed.scale_cols}; }
  /// The scales: (ceil(rows / scale_rows), groups).
  [[nodiscard]] scale_view<const T> scales() const {
    return scale_view<const T>::panels(scale_data, (rows() + scale_rows - 1) / scale_rows,
                                       packed.groups());
  }
  /// Bytes of codes and scales.
  [[nodiscard]] std::size_t size_bytes() const {
    return packed.size_bytes() + scales().storage() * sizeof(T);
  }
};

/// Owns packed weights and converts to ternary_weights_view. It copies and moves like a vector.
template <pack_format Format, class T = float>
class ternary_weights {
 public:
  ternary_weights() = default;

  /// Quantizes real weights by a policy. While it runs it holds a byte for each weight.
  template <weight_quantizer<T> Quantizer>
  ternary_weights(matrix_view<const T> w, const Quantizer& quantizer, executor_ref ex = {})
      : ternary_weights(w.rows, w.cols, quantizer.scale_block(w.rows, w.cols)) {
    std::vector<std::int8_t> codes(w.size());
    const matrix_view<std::int8_t> view(codes.data(), w.rows, w.cols);
    const extents shape = scale_extents({w.rows, w.cols}, quantizer.scale_block(w.rows, w.cols));
    std::vector<T> scales(shape.rows * shape.cols);
    const matrix_view<T> found(scales.data(), shape.rows, shape.cols);
    quantizer.template quantize<T>(w, view, found, ex);
    copy_scales<T>(found, mutable_scales());
    packed_.assign(view, ex);
  }

  /// Packs codes that have a scale for each `block`. Throws shape_error where the shape of the
  /// scales is not scale_extents(codes, block), and config_error where the format has no such code
  /// or the block is empty.
  ternary_weights(matrix_view<const std::int8_t> codes, scale_view<const T> scales, extents block,
                  executor_ref ex = {})
      : ternary_weights(codes.rows, codes.cols, block) {
    copy_scales<T>(scales, mutable_scales());
    packed_.assign(codes, ex);
  }

  /// Shape of the matrix: (out, in).
  [[nodiscard]] std::size_t rows() const { return packed_.rows(); }
  [[nodiscard]] std::size_t cols() const { return packed_.cols(); }
  /// A view of these weights.
  [[nodiscard]] ternary_weights_view<Format, T> view() const {
    return {packed_.view(), scale_rows_, scales_.data()};
  }
  /// As view().
  operator ternary_weights_view<Format, T>() const { return view(); }  // NOLINT: an owner is a view

 private:
  /// A block that is larger than the matrix is cut to its size.
  ternary_weights(std::size_t rows, std::size_t cols, extents block)
      : packed_(rows, cols, std::min(block.cols, std::max<std::size_t>(cols, 1))),
        scale_rows_(std::min(block.rows, std::max<std::size_t>(rows, 1))) {
    if (scale_rows_ == 0) throw config_error("ternary_weights: scale blocks of no rows");
    scales_.resize(view().scales().storage());
  }

  [[nodiscard]] scale_view<T> mutable_scales() {
    const scale_view<const T> shape = view().scales();
    return scale_view<T>::panels(scales_.data(), shape.rows, shape.cols);
  }

  packed_matrix<Format> packed_;
  std::size_t scale_rows_ = 1;
  std::vector<T> scales_;
};

/// The real weights: out(r, c) = code * scale. Throws shape_error.
template <pack_format Format, class T>
void dequantize(const ternary_weights_view<Format, T>& w, matrix_view<T> out,
                executor_ref ex = {}) {
  require_shape(out, w.rows(), w.cols(), "dequantize: out");
  const scale_view<const T> scales = w.scales();
  detail::for_each_trit(w.packed, ex, [&](std::size_t r, std::size_t c, std::int8_t trit) {
    out(r, c) = static_cast<T>(trit) * scales(r / w.scale_rows, c / w.packed.scale_cols);
  });
}

/// The real weights of row r; `out` has cols() elements. Throws shape_error.
template <pack_format Format, class T>
void dequantize_row(const ternary_weights_view<Format, T>& w, std::size_t r, row_view<T> out) {
  require_size(out.size, w.cols(), "dequantize_row: out");
  const scale_view<const T> scales = w.scales();
  const std::size_t in_line = r % Format::rows;
  std::array<std::int8_t, Format::rows * Format::cols> line;
  const packed_line* at = w.packed.panel(r / Format::rows);
  for (std::size_t c = 0; c < w.cols(); ++at) {
    Format::unpack(*at, line.data(), Format::cols);
    const std::size_t group = c / w.packed.scale_cols;
    const std::size_t end =
        std::min({c + Format::cols, (group + 1) * w.packed.scale_cols, w.cols()});
    const std::int8_t* code = &line[in_line * Format::cols];
    for (; c < end; ++c) out[c] = static_cast<T>(*code++) * scales(r / w.scale_rows, group);
  }
}

}  // namespace tern::inline TERN_ABI
