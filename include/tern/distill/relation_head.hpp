// One split head of one sequence in the relation loss: its rows, normalised if the form requires
// it, the scores between them, and the gradient through both steps.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "tern/core/simd.hpp"
#include "tern/core/tensor.hpp"
#include "tern/distill/relation_options.hpp"
#include "tern/linalg/gemm.hpp"
#include "tern/nn/score_band.hpp"

namespace tern::inline TERN_ABI {

template <class T>
struct relation_head {
  matrix_view<T> x;     ///< (length, D), dense: rows of the head, unit vectors for cosine
  row_view<T> inverse;  ///< (length): 1 / |row|; null for scaled_dot
  T factor;             ///< scores are factor * x x^T

  /// Number of elements that load() needs for sequences of `longest` tokens and heads of d columns.
  static std::size_t size(std::size_t longest, std::size_t d) { return longest * (d + 1); }

  /// Copies rows (length, D) into `memory` and normalises them for cosine. A row whose norm is
  /// below 1e-12 is divided by 1e-12, as in PyTorch's normalize.
  static relation_head load(matrix_view<const T> rows, const relation_options& options, T* memory) {
    const bool cosine = options.form == relation_form::cosine;
    const double root = cosine ? 1 : std::sqrt(static_cast<double>(rows.cols));
    relation_head head{
        {memory, rows.rows, rows.cols}, {}, static_cast<T>(1 / (root * options.temperature))};
    if (cosine) head.inverse = {memory + head.x.size(), rows.rows};
    for (std::size_t i = 0; i < rows.rows; ++i) {
      const row_view<const T> row = rows.row(i);
      if (!cosine) {
        std::copy_n(row.data, row.size, head.x.row(i).data);
        continue;
      }
      head.inverse[i] = std::min(max_inverse, 1 / simd::norm(row));
      const simd::batch<T> by(head.inverse[i]);
      simd::transform(
          head.x.row(i), [&](const auto& a) { return a * by; }, row);
    }
    return head;
  }

  /// z = factor * x x^T for the rows of the band, with its mask applied.
  void score(const score_band& b, matrix_view<T> z) const {
    const matrix_view<const T> all = x;
    b.score(factor, all.row_block(b.first, b.rows), all, z);
  }

  /// dx += scale * the gradient of the scores for dz. It has two terms, since x is on both sides of
  /// the product.
  void score_backward(T scale, const score_band& b, matrix_view<const T> dz,
                      matrix_view<T> dx) const {
    const matrix_view<const T> all = x, seen = dz.col_block(0, b.cols);
    detail::gemm_block<T>(scale * factor, seen, all.row_block(0, b.cols),
                          dx.row_block(b.first, b.rows), true);
    detail::gemm_block<T>(scale * factor, seen.transposed(), all.row_block(b.first, b.rows),
                          dx.row_block(0, b.cols), true);
  }

  /// drows += the gradient through the normalisation, (dx - x (x . dx)) / |row|, or dx without one.
  void load_backward(matrix_view<const T> dx, matrix_view<T> drows) const {
    for (std::size_t i = 0; i < dx.rows; ++i) {
      const T scale = inverse ? inverse[i] : T(1);
      simd::axpy<T>(scale, dx.row(i), drows.row(i));
      if (inverse && scale < max_inverse)
        simd::axpy<T>(-scale * simd::dot(x.row(i), dx.row(i)), x.row(i), drows.row(i));
    }
  }

 private:
  static constexpr T max_inverse = T(1e12);
};

}  // namespace tern::inline TERN_ABI
