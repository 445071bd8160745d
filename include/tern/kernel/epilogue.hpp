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
/// each operation, in this order. Weights in several groups of columns, with a column of w_scales
/// each, make it so:
///   total(n, m) = 0 + sums_0(n, m) * w_scales(m, 0) + sums_1(n, m) * w_scales(m, 1) + ...
///   y(n, m) = total(n, m) * x_scales[n] (+ bias[m]) (+ residual(n, m)).
/// Kernels may make the totals themselves, by the same operations. Nowhere else does a ternary
/// product become a real number.
template <class T>
class rescale {
 public:
  using total_type = T;  ///< type of a total

  /// x_scales: N elements. w_scales: (1, groups), (M, groups), or a row for every `scale_rows` rows
  /// of the weights. y: (N, M). bias (M) and residual (N, M) may be null, and residual may be y
  /// itself. Throws shape_error.
  rescale(row_view<const T> x_scales, scale_view<const T> w_scales, row_view<const T> bias,
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

  /// Makes y from the sums of a part, where the weights have one group of columns. Throws
  /// shape_error for any other group than the first: an epilogue that calls this one may get such.
  void operator()(const sum_block& b) const {
    if (b.group != 0)
      throw shape_error("rescale: it makes totals of several groups of columns, not y of each");
    if constexpr (std::same_as<T, float>)
      if (b.sums.col_stride == 1 && w_scales_.cols != 0 &&
          (w_scales_.rows == 1 ||
           (scale_rows_ == 1 && w_scales_.side_by_side(b.row, b.sums.cols))) &&
          whole_block(b.token, b.row, b.sums, [&](kernel::rescale_arguments& to) {
            const bool one = w_scales_.rows == 1;
            to.sums = b.sums.data;
            to.w_scales = &w_scales_(one ? 0 : b.row, 0);
            to.w_step = one ? 0 : 1;
          }))
        return;
    by_chunks(b.token, b.row, b.sums,
              [&](std::size_t i, std::size_t c, std::size_t n, T(&to)[chunk]) {
                copy_scales(b.row + c, 0, to, n);
                multiply_all(to, x_scales_[b.token + i]);
                apply<std::int32_t>({&b.sums(i, c), n, b.sums.col_stride}, to, multiply);
              });
  }

  /// What kernels need to add up the scaled sums of `groups` groups. `totals` points to where the
  /// total of the first token and weight row would stand. Throws shape_error where a group has no
  /// column in w_scales.
  [[nodiscard]] kernel::group_scaling scaling(float* totals, std::size_t stride,
                                              std::size_t groups) const
    requires std::same_as<T, float>
  {
    require_groups(groups);
    return {totals, stride, w_scales_, scale_rows_};
  }

  /// totals += sums * w_scales, for one group of a part. Throws shape_error where the group has no
  /// column in w_scales.
  void add(const sum_block& b, matrix_view<T> totals) const {
    require_groups(b.group + 1);
    for (std::size_t c = 0; c < totals.cols; c += chunk) {
      const std::size_t n = std::min(chunk, totals.cols - c);
      T scales[chunk], products[chunk];
      copy_scales(b.row + c, b.group, scales, n);
      for (std::size_t i = 0; i < totals.rows; ++i) {
        std::copy_n(scales, n, products);
        apply<std::int32_t>({&b.sums(i, c), n, b.sums.col_stride}, products, multiply);
        __asm__("" : "+m"(products));  // rounds here: no addition is fused with the product
        apply<T>({products, n}, &totals(i, c), add_to);
      }
    }
  }

  /// Makes y from the totals of a part, whose rows are dense. The first total is the one of `token`
  /// and `row`.
  void finish(std::size_t token, std::size_t row, matrix_view<const T> totals) const {
    if constexpr (std::same_as<T, float>)
      if (whole_block(token, row, totals,
                      [&](kernel::rescale_arguments& to) { to.totals = totals.data; }))
        return;
    by_chunks(token, row, totals, [&](std::size_t i, std::size_t c, std::size_t n, T(&to)[chunk]) {
      std::copy_n(&totals(i, c), n, to);
      multiply_all(to, x_scales_[token + i]);
    });
  }

 private:
  static constexpr std::size_t chunk = 64;
  static constexpr auto multiply = [](auto& a, const auto& b) { a *= b; };
  static constexpr auto add_to = [](auto& a, const auto& b) { a += b; };

  void require_groups(std::size_t groups) const {
    if (groups > w_scales_.cols)
      throw shape_error("rescale: more groups of columns than columns of w_scales");
  }

  /// Makes y of a part with the instructions of the CPU. `complete` sets where the numbers of the
  /// part and the scales of the weights are. False, and nothing is done, where the rows of y, bias
  /// or residual are not dense, or the CPU's level has no function.
  template <class U, class Complete>
  [[nodiscard]] bool whole_block(std::size_t token, std::size_t row, matrix_view<const U> part,
                                 const Complete& complete) const
    requires std::same_as<T, float>
  {
    const auto whole = kernel::rescale_blocks.at(isa::active());
    if (whole == nullptr || part.size() == 0 || y_.col_stride != 1 ||
        (bias_ && bias_.stride != 1) || (residual_ && residual_.col_stride != 1))
      return false;
    kernel::rescale_arguments to{};
    to.stride = part.row_stride;
    to.rows = part.rows;
    to.cols = part.cols;
    to.x_scales = &x_scales_[token];
    to.x_step = x_scales_.stride;
    to.bias = bias_ ? &bias_[row] : nullptr;
    to.addend = residual_ ? &residual_(token, row) : nullptr;
    to.addend_stride = residual_.row_stride;
    to.y = &y_(token, row);
    to.y_stride = y_.row_stride;
    complete(to);
    whole(to);
    return true;
  }

  /// Makes y of a part. make(i, c, n, to) makes numbers [c, c + n) of its row i without bias and
  /// residual, in a chunk of zeros.
  template <class U, class Make>
  void by_chunks(std::size_t token, std::size_t row, matrix_view<const U> part,
                 const Make& make) const {
    for (std::size_t i = 0; i < part.rows; ++i)
      for (std::size_t c = 0; c < part.cols; c += chunk) {
        const std::size_t n = std::min(chunk, part.cols - c);
        T products[chunk] = {};
        make(i, c, n, products);
        __asm__("" : "+m"(products));  // rounds here: no addition is fused with the product
        if (bias_) apply<T>({&bias_[row + c], n, bias_.stride}, products, add_to);
        if (residual_) apply<T>(residual_.block(token + i, row + c, 1, n).row(0), products, add_to);
        for (std::size_t k = 0; k < n; ++k) y_(token + i, row + c + k) = products[k];
      }
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

  /// Multiplies all numbers of a chunk.
  static void multiply_all(T (&to)[chunk], T factor) {
    for (T& each : to) each *= factor;
  }

  /// to[k] = w_scales(m + k, group)
  void copy_scales(std::size_t m, std::size_t group, T* to, std::size_t n) const {
    if (w_scales_.cols == 0)  // a matrix without columns has no scales
      std::fill_n(to, n, T(0));
    else if (w_scales_.rows == 1)
      std::fill_n(to, n, w_scales_(0, group));
    else if (scale_rows_ == 1)
      for (std::size_t k = 0; k < n; ++k) to[k] = w_scales_(m + k, group);
    else
      for (std::size_t k = 0; k < n; ++k) to[k] = w_scales_((m + k) / scale_rows_, group);
  }

  row_view<const T> x_scales_;
  scale_view<const T> w_scales_;
  row_view<const T> bias_;
  matrix_view<const T> residual_;
  matrix_view<T> y_;
  std::size_t scale_rows_;
};

}  // namespace tern::inline TERN_ABI
