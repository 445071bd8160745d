// Causal grouped-query attention over packed sequences of T tokens. As in FlashAttention (arXiv
// 2205.14135), the T x T matrix of scores is never stored: the scores of a tile of rows are
// computed with all their columns at once, and the backward pass computes the probabilities again
// from the saved log-sum-exp. Memory is linear in T.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>

#include "tern/core/arena.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/simd.hpp"
#include "tern/core/tensor.hpp"
#include "tern/linalg/gemm.hpp"
#include "tern/nn/score_band.hpp"
#include "tern/nn/sequence_tasks.hpp"
#include "tern/nn/softmax.hpp"

namespace tern::inline TERN_ABI {

/// Query head h reads key/value head h / (q_heads / kv_heads).
struct attention_shape {
  std::size_t q_heads = 0, kv_heads = 0, head_dim = 0;  ///< sizes of the model
  double scale = 0;        ///< factor of the scores; 0 stands for 1/sqrt(head_dim)
  std::size_t window = 0;  ///< tokens that a token sees, itself included; 0: all

  /// Number of query heads that read one key/value head.
  [[nodiscard]] std::size_t group() const { return q_heads / kv_heads; }
  /// The number that scores are multiplied by.
  [[nodiscard]] double factor() const {
    return scale != 0 ? scale : 1 / std::sqrt(static_cast<double>(head_dim));
  }
};

/// y_i = sum_j p_ij v_j, p_i = softmax_j(scale * q_i . k_j) over the positions i - window < j <= i
/// of the same sequence. q, y: (N, q_heads * head_dim); k, v: (N, kv_heads * head_dim); lse: (N,
/// q_heads), the saved log-sum-exp; offsets: (B + 1) sequence bounds. The elements of a row must be
/// contiguous; the row stride is free. A call takes at most 32 * 2 * 64 * (T + 16) elements of
/// `scratch`, where T is the length of the longest sequence, and gives them back. `products` is
/// the precision of the products; the softmax is always computed in T.
template <class T>
struct attention {
  /// Computes y and, unless it is null, lse. Throws shape_error.
  static void forward(matrix_view<const T> q, matrix_view<const T> k, matrix_view<const T> v,
                      std::span<const std::size_t> offsets, const attention_shape& shape,
                      matrix_view<T> y, matrix_view<T> lse, arena& scratch, executor_ref ex = {},
                      precision products = precision::exact) {
    for (auto* m : {&q, &k, &v}) *m = with_plain_strides(*m);
    y = with_plain_strides(y);
    check(q, k, v, shape);
    require_rows(y, q.rows, q.cols, "attention: y");
    if (lse) require_shape(lse, q.rows, shape.q_heads, "attention: lse");
    const std::size_t d = shape.head_dim, longest = longest_sequence(offsets, q.rows, "attention");
    const sequence_tasks tasks(offsets, shape.kv_heads);
    const arena_scope temporaries(scratch);
    const score_tiles<T> scores(scratch, tasks.chunks(), longest);
    const T factor = static_cast<T>(shape.factor());
    tasks.for_each(ex, [&](std::size_t, std::size_t first, std::size_t length, std::size_t kv,
                           std::size_t chunk) {
      const auto keys = k.block(first, kv * d, length, d),
                 values = v.block(first, kv * d, length, d);
      for (std::size_t h = kv * shape.group(); h < (kv + 1) * shape.group(); ++h) {
        for (std::size_t r = 0; r < length; r += score_band::most_rows) {
          const score_band b(r, length, true, shape.window);
          const matrix_view<T> p = scores.tile(chunk, b),
                               out = y.block(first + r, h * d, b.rows, d);
          b.score(factor, q.block(first + r, h * d, b.rows, d), keys, p, products);
          std::array<T, score_band::most_rows> total;
          for (std::size_t i = 0; i < b.rows; ++i) {
            const T top = exponentials(p.row(i), total[i]);
            if (lse) lse(first + r + i, h) = top + std::log(total[i]);
          }
          detail::gemm_block<T>(T(1), p.col_block(0, b.cols), values.row_block(b.begin, b.cols),
                                out, false, products);
          for (std::size_t i = 0; i < b.rows; ++i) scale_row(out.row(i), 1 / total[i]);
        }
      }
    });
  }

  /// Adds the gradients for dy to dq, dk and dv, each of which may be null. y and lse are the
  /// results of forward().
  static void backward(matrix_view<const T> dy, matrix_view<const T> q, matrix_view<const T> k,
                       matrix_view<const T> v, matrix_view<const T> y, matrix_view<const T> lse,
                       std::span<const std::size_t> offsets, const attention_shape& shape,
                       matrix_view<T> dq, matrix_view<T> dk, matrix_view<T> dv, arena& scratch,
                       executor_ref ex = {}, precision products = precision::exact) {
    for (auto* m : {&q, &k, &v, &dy, &y}) *m = with_plain_strides(*m);
    for (auto* m : {&dq, &dk, &dv}) *m = with_plain_strides(*m);
    check(q, k, v, shape);
    require_rows(dy, q.rows, q.cols, "attention: dy");
    require_rows(y, q.rows, q.cols, "attention: y");
    require_shape(lse, q.rows, shape.q_heads, "attention: lse");
    if (dq) require_rows(dq, q.rows, q.cols, "attention: dq");
    if (dk) require_rows(dk, k.rows, k.cols, "attention: dk");
    if (dv) require_rows(dv, v.rows, v.cols, "attention: dv");
    const std::size_t d = shape.head_dim, longest = longest_sequence(offsets, q.rows, "attention");
    const sequence_tasks tasks(offsets, shape.kv_heads);
    const arena_scope temporaries(scratch);
    const score_tiles<T> probabilities(scratch, tasks.chunks(), longest),
        gradients(scratch, tasks.chunks(), longest);
    const T factor = static_cast<T>(shape.factor());
    tasks.for_each(ex, [&](std::size_t, std::size_t first, std::size_t length, std::size_t kv,
                           std::size_t chunk) {
      for (std::size_t h = kv * shape.group(); h < (kv + 1) * shape.group(); ++h) {
        for (std::size_t r = 0; r < length; r += score_band::most_rows) {
          const score_band b(r, length, true, shape.window);
          const auto rows = [&](const auto& m) { return m.block(first + r, h * d, b.rows, d); };
          const auto cols = [&](const auto& m) {
            return m.block(first + b.begin, kv * d, b.cols, d);
          };
          const matrix_view<T> p = probabilities.tile(chunk, b), ds = gradients.tile(chunk, b);
          const matrix_view<const T> seen = p.col_block(0, b.cols), slope = ds.col_block(0, b.cols);
          b.score(factor, rows(q), k.block(first, kv * d, length, d), p, products);
          detail::gemm_block<T>(T(1), rows(dy), cols(v).transposed(), ds.col_block(0, b.cols),
                                false, products);
          for (std::size_t i = 0; i < b.rows; ++i)
            softmax_backward(p.row(i), ds.row(i), lse(first + r + i, h),
                             simd::dot(rows(dy).row(i), rows(y).row(i)));
          if (dv)
            detail::gemm_block<T>(T(1), seen.transposed(), rows(dy), cols(dv), true, products);
          if (dq) detail::gemm_block<T>(factor, slope, cols(k), rows(dq), true, products);
          if (dk)
            detail::gemm_block<T>(factor, slope.transposed(), rows(q), cols(dk), true, products);
        }
      }
    });
  }

 private:
  static void check(matrix_view<const T> q, matrix_view<const T> k, matrix_view<const T> v,
                    const attention_shape& shape) {
    if (shape.kv_heads == 0 || shape.head_dim == 0 || shape.q_heads % shape.kv_heads != 0)
      throw shape_error("attention: " + std::to_string(shape.q_heads) + " query heads for " +
                        std::to_string(shape.kv_heads) + " key/value heads of " +
                        std::to_string(shape.head_dim) + " elements");
    require_rows(q, q.rows, shape.q_heads * shape.head_dim, "attention: q");
    require_rows(k, q.rows, shape.kv_heads * shape.head_dim, "attention: k");
    require_rows(v, q.rows, shape.kv_heads * shape.head_dim, "attention: v");
  }

  static void scale_row(row_view<T> row, T by) {
    const simd::batch<T> factor(by);
    simd::transform(
        row, [&](const auto& a) { return a * factor; }, row_view<const T>(row));
  }

  /// Replaces the scores s by the probabilities p, and dp by p * (dp - delta), the gradient with
  /// respect to the scores.
  static void softmax_backward(row_view<T> s, row_view<T> dp, T lse, T delta) {
    const simd::batch<T> shift(lse), mean(delta), zero(T(0));
    simd::transform(
        s, [&](const auto& a) { return simd::exp(a - shift); }, row_view<const T>(s));
    // Where p is 0, the padding of dp may hold any value, even NaN.
    simd::transform(
        dp,
        [&](const auto& g, const auto& p) { return simd::select(p > zero, p * (g - mean), zero); },
        row_view<const T>(dp), row_view<const T>(s));
  }
};

}  // namespace tern::inline TERN_ABI
