// The product of a BitLinear at inference: y = Qa(x) w^T + b with packed w. Activations are
// quantized, multiplied in integers and scaled once. bit_linear uses the same product in training,
// so both give the same bits.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "tern/core/arena.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/tensor.hpp"
#include "tern/core/thread_scratch.hpp"
#include "tern/isa/level.hpp"
#include "tern/kernel/matmul.hpp"
#include "tern/nn/norm_rows.hpp"
#include "tern/nn/rms_norm.hpp"
#include "tern/nn/rowwise.hpp"
#include "tern/pack/packed_matrix.hpp"
#include "tern/pack/ternary_weights.hpp"
#include "tern/quant/absmax_int8.hpp"
#include "tern/quant/quantizer.hpp"

namespace tern::inline TERN_ABI {

/// ActQ is an activation_quantizer.
template <class T, class ActQ = absmax_int8>
struct packed_linear {
  static_assert(require_activation_quantizer<ActQ, T>());

  /// The quantized activations of N tokens.
  struct tokens {
    matrix_view<const std::int8_t> codes;  ///< (N, K)
    row_view<const T> scales;              ///< N
    row_view<const std::int32_t> sums;     ///< N, sums of the codes of each row
  };

  /// Quantizes x (N, K). The result is valid until `memory` is rewound. Throws shape_error.
  static tokens quantize(matrix_view<const T> x, arena& memory, executor_ref ex = {},
                         const ActQ& activation_quantizer = {}) {
    const auto codes = memory.matrix<std::int8_t>(x.rows, x.cols);
    const row_view<T> scales(memory.allocate<T>(x.rows), x.rows);
    const row_view<std::int32_t> sums(memory.allocate<std::int32_t>(x.rows), x.rows);
    activation_quantizer.template quantize<T>(x, codes, scales, sums, ex);
    return {codes, scales, sums};
  }

  /// Quantizes rms_norm(x). gain: K elements, or null for ones. Each row is quantized directly
  /// after its norm, while it is still in the cache.
  static tokens quantize_normed(matrix_view<const T> x, row_view<const T> gain, T eps,
                                arena& memory, executor_ref ex = {},
                                const ActQ& activation_quantizer = {}) {
    const auto codes = memory.matrix<std::int8_t>(x.rows, x.cols);
    const row_view<T> scales(memory.allocate<T>(x.rows), x.rows);
    const row_view<std::int32_t> sums(memory.allocate<std::int32_t>(x.rows), x.rows);
    if (gain) require_size(gain.size, x.cols, "packed_linear: gain");
    ex.parallel_for(x.rows, rows_per_chunk(x.cols), [&](std::size_t begin, std::size_t end) {
      const thread_scratch memory_of_row(x.cols * sizeof(T));
      const matrix_view<T> normed(memory_of_row.data<T>(), 1, x.cols);
      for (std::size_t r = begin; r < end; ++r) {
        if constexpr (std::same_as<T, float> && std::same_as<ActQ, absmax_int8>)
          if (const auto quantize_rows = norm::rows.at(isa::active()).quantize;
              quantize_rows != nullptr && x.col_stride == 1 && (!gain || gain.stride == 1))
            r += quantize_rows({x.row(r).data, x.row_stride, end - r, x.cols, gain.data, eps},
                               static_cast<float>(activation_quantizer.eps), codes.row(r).data,
                               &scales[r], &sums[r]);
        if (r == end) break;
        sub_ln<T>::forward(x.block(r, 0, 1, x.cols), gain, eps, normed, {}, {});
        activation_quantizer.template quantize<T>(normed, codes.block(r, 0, 1, x.cols),
                                                  {&scales[r], 1}, {&sums[r], 1}, {});
      }
    });
    return {codes, scales, sums};
  }

  /// One product: y (N, M) = x w^T + bias + residual with packed w (M, K). bias (M) and residual
  /// (N, M) may be null; residual may be y.
  template <class Format>
  struct output {
    packed_view<Format> w;               ///< (M, K)
    scale_view<const T> w_scales;        ///< (ceil(M / scale_rows), groups of columns of w)
    std::size_t scale_rows;              ///< rows of w that share a row of w_scales
    row_view<const T> bias;              ///< M elements or null
    matrix_view<T> y;                    ///< (N, M)
    matrix_view<const T> residual = {};  ///< (N, M) or null
  };

  /// Several products of the same tokens in one call. `scratch` holds about N K bytes. Throws
  /// shape_error.
  template <class Format>
  static void multiply(const tokens& x, std::span<const output<Format>> to, arena& scratch,
                       executor_ref ex = {}) {
    if (to.empty()) return;
    using product = ternary_product<Format, rescale<T>>;
    const arena_scope temporaries(scratch);
    product* const products = scratch.allocate<product>(to.size());
    for (std::size_t i = 0; i < to.size(); ++i) {
      const output<Format>& o = to[i];
      require_shape(o.y, x.codes.rows, o.w.rows, "packed_linear: y");
      std::construct_at(
          products + i,
          product{
              o.w, {}, rescale<T>(x.scales, o.w_scales, o.bias, o.y, o.residual, o.scale_rows)});
    }
    const std::size_t bytes = ternary_matmul_workspace(to[0].w, x.codes);
    ternary_matmul(std::span<const product>(products, to.size()), x.codes, x.sums,
                   {scratch.allocate<std::byte>(bytes), bytes}, ex);
  }

  /// y (N, M) = Qa(x) w^T + bias, with the same bits as bit_linear::forward() gives for the weights
  /// that w was packed from. `scratch` holds about 2 N K bytes. Throws shape_error.
  template <class Format>
  static void forward(matrix_view<const T> x, const ternary_weights_view<Format, T>& w,
                      row_view<const T> bias, matrix_view<T> y, arena& scratch,
                      executor_ref ex = {}, const ActQ& activation_quantizer = {}) {
    const arena_scope temporaries(scratch);
    const output<Format> to{w.packed, w.scales(), w.scale_rows, bias, y};
    multiply<Format>(quantize(x, scratch, ex, activation_quantizer), {&to, 1}, scratch, ex);
  }
};

}  // namespace tern::inline TERN_ABI
