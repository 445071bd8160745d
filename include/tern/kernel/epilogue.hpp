// Epilogues: functors that ternary_matmul calls with each part of the result while its sums are
// still in cache. Real numbers come out the same at every instruction-set level, since no operation
// is fused with another one.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tern/core/tensor.hpp"
#include "tern/isa/level.hpp"
#include "tern/kernel/group_scaling.hpp"
#include "tern/kernel/rescale_block.hpp"

namespace tern::inline TERN_ABI {

/// A part of the result: the sums over one group of columns for tokens [token, token + sums.rows)
/// and weight rows [row, row + sums.cols).
struct sum_block {
  std::size_t token, row;                ///< where sums(0, 0) stands in the whole result
  matrix_view<const std::int32_t> sums;  ///< (tokens, weight rows)
  std::size_t group = 0;                 ///< index of the group of columns
};

/// Leaves the sums as they are.
struct no_epilogue {
  void operator()(const sum_block&) const {}  ///< does nothing
};

/// y(n, m) = sums(n, m) * (x_scales[n] * w_scales(m)) (+ bias[m]) (+ residual(n, m)), rounded after
/// each operation, in this order. Weights in several groups of columns have a column of w_scales
/// for each group: the first group makes y as above, and the others follow in order with
///   y += sums * (x_scales[n] * w_scales(m, group)).
/// Kernels may do so themselves, by the same operations; see begin(). Nowhere else does a ternary
/// product become a real number.
template <class T>
class rescale {
 public:
  /// x_scales: N elements. w_scales: (1, groups), (M, groups), or a row for every `scale_rows` rows
  /// of the weights. y: (N, M). bias (M) and residual (N, M) may be null, and residual may be y
  /// itself. Throws shape_error; so does the call for a group that has no column in w_scales.
  rescale(row_view<const T> x_scales, matrix_view<const T> w_scales, row_view<const T> bias,
          matrix_view<T> y, matrix_view<const T> residual = {}, std::size_t scale_rows = 1)
      : x_scales_(x_scales),
        w_scales_(w_scales),
        bias_(bias),
        residual_(residual),
        y_(y),
        scale_rows_(scale_rows) {
    require_size(x_scales.size, y.rows, "rescale: x_scales");
    if (w_scales.rows != 1)
      require_size(w_scales.rows, (y.cols + scale_rows - 1) / scale_rows, "rescale: w_scales");
    if (bias) require_size(bias.size, y.cols, "rescale: bias");
    if (residual) require_shape(residual, y.rows, y.cols, "rescale: residual");
  }

  /// Prepares y for kernels that scale the sums of `groups` groups themselves, and says in `to`
  /// what they need for the part. Returns the number of groups at the beginning whose sums
  /// operator() must get first.
  std::size_t begin(const sum_block& part, std::size_t groups, kernel::group_scaling& to) const
    requires std::same_as<T, float>
  {
    if (y_.col_stride != 1 || groups > w_scales_.cols) return groups;
    const std::size_t first = bias_ && residual_ ? 1 : 0;
    for (std::size_t i = 0; first == 0 && i < part.sums.rows; ++i) {
      const row_view<T> y = y_.block(part.token + i, part.row, 1, part.sums.cols).row(0);
      if (bias_)
        for (std::size_t k = 0; k < y.size; ++k) y.data[k] = bias_[part.row + k];
      else if (residual_)
        for (std::size_t k = 0; k < y.size; ++k)
          y.data[k] = residual_(part.token + i, part.row + k);
      else  // -0 plus the first product is this product, whatever its sign
        std::fill_n(y.data, y.size, T(-0.0));
    }
    to = {y_.data, y_.row_stride, x_scales_, w_scales_.col_block(first, w_scales_.cols - first),
          scale_rows_};
    return first;
  }

  /// Scales the sums of a part; those of the first group are written to y, later ones added to it.
  void operator()(const sum_block& b) const {
    if (b.group != 0 && b.group >= w_scales_.cols)
      throw shape_error("rescale: more groups of columns than columns of w_scales");
    if constexpr (std::same_as<T, float>)
      if (const auto whole = kernel::rescale_blocks.at(isa::active());
          whole != nullptr && b.sums.rows != 0 && b.sums.cols != 0 && dense(b))
        return whole(arguments(b));
    for (std::size_t i = 0; i < b.sums.rows; ++i) {
      const std::size_t n = b.token + i;
      const row_view<const std::int32_t> sums = b.sums.row(i);
      const row_view<T> y = y_.block(n, b.row, 1, sums.size).row(0);
      T products[chunk];
      for (std::size_t c = 0; c < sums.size; c += chunk) {
        const std::size_t end = std::min(chunk, sums.size - c);
        factors(n, b.row + c, b.group, products, end);
        apply<std::int32_t>({sums.data + c, end}, products, multiply);
        __asm__("" : "+m"(products));  // rounds here: no addition is fused with the product
        if (b.group != 0) {
          apply<T>({&y[c], end, y.stride}, products, add);
        } else {
          if (bias_) apply<T>({&bias_[b.row + c], end, bias_.stride}, products, add);
          if (residual_) apply<T>(residual_.block(n, b.row + c, 1, end).row(0), products, add);
        }
        for (std::size_t k = 0; k < end; ++k) y[c + k] = products[k];
      }
    }
  }

 private:
  static constexpr std::size_t chunk = 64;
  static constexpr auto multiply = [](auto& a, const auto& b) { a *= b; };
  static constexpr auto add = [](auto& a, const auto& b) { a += b; };

  /// Whether every row is dense, and the scales of the weights are one or stand side by side.
  [[nodiscard]] bool dense(const sum_block& b) const {
    return b.sums.col_stride == 1 && y_.col_stride == 1 && w_scales_.cols != 0 &&
           (w_scales_.rows == 1 || (scale_rows_ == 1 && w_scales_.row_stride == 1)) &&
           (!bias_ || bias_.stride == 1) && (!residual_ || residual_.col_stride == 1);
  }

  [[nodiscard]] kernel::rescale_arguments arguments(const sum_block& b) const
    requires std::same_as<T, float>
  {
    const bool first = b.group == 0, one = w_scales_.rows == 1;
    const matrix_view<const T> addend = first ? residual_ : matrix_view<const T>(y_);
    return {b.sums.data,
            b.sums.row_stride,
            b.sums.rows,
            b.sums.cols,
            &x_scales_[b.token],
            x_scales_.stride,
            &w_scales_(one ? 0 : b.row, b.group),
            one ? 0u : 1u,
            first && bias_ ? &bias_[b.row] : nullptr,
            addend ? &addend(b.token, b.row) : nullptr,
            addend.row_stride,
            &y_(b.token, b.row),
            y_.row_stride};
  }

  /// op(to[k], T(from[k])), written with vectors that are used at every optimisation level.
  template <class U, class Op>
  static void apply(row_view<const U> from, T* to, Op op) {
    using given [[gnu::vector_size(8 * sizeof(U))]] = U;
    using reals [[gnu::vector_size(8 * sizeof(T))]] = T;
    std::size_t k = 0;
    for (; from.stride == 1 && k + 8 <= from.size; k += 8) {
      given a;
      reals b;
      std::memcpy(&a, from.data + k, sizeof a);
      std::memcpy(&b, to + k, sizeof b);
      op(b, __builtin_convertvector(a, reals));
      std::memcpy(to + k, &b, sizeof b);
    }
    for (; k < from.size; ++k) op(to[k], static_cast<T>(from[k]));
  }

  /// to[k] = x_scales[n] * w_scales(m + k, group)
  void factors(std::size_t n, std::size_t m, std::size_t group, T* to, std::size_t end) const {
    if (w_scales_.cols == 0) {  // a matrix without columns has no scales
      std::fill_n(to, end, T(0));
    } else if (w_scales_.rows == 1) {
      std::fill_n(to, end, x_scales_[n] * w_scales_(0, group));
    } else if (scale_rows_ == 1) {
      std::fill_n(to, end, x_scales_[n]);
      apply<T>(w_scales_.block(m, group, end, 1).col(0), to, multiply);
    } else {
      for (std::size_t k = 0; k < end; ++k)
        to[k] = x_scales_[n] * w_scales_((m + k) / scale_rows_, group);
    }
  }

  row_view<const T> x_scales_;
  matrix_view<const T> w_scales_;
  row_view<const T> bias_;
  matrix_view<const T> residual_;
  matrix_view<T> y_;
  std::size_t scale_rows_;
};

}  // namespace tern::inline TERN_ABI
