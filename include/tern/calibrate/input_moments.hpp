// Second moments of what a linear layer gets as its input, summed over calibration tokens. They are
// all that calibration needs to know of the data.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/is_finite.hpp"
#include "tern/core/reducer.hpp"
#include "tern/core/simd.hpp"
#include "tern/linalg/gemm.hpp"

namespace tern::inline TERN_ABI {

/// x_n is token n's input of width K in the quantized stream, which runs through the layers that
/// are ternary already, f_n the same input in the full-precision stream, w_n the weight of the
/// token. Linear layers with the same input share one such object.
template <class T>
struct input_moments {
  matrix<T> hessian;  ///< (K, K): sum of w_n x_n x_n^T
  matrix<T> drift;    ///< (K, K): sum of w_n (f_n - x_n) x_n^T; empty without the second stream
  std::vector<T> mean_abs;  ///< K weighted means of |x|
  double weight = 0;        ///< sum of w_n
  std::size_t tokens = 0;   ///< number of tokens with w_n > 0
};

/// How tokens count in moments.
struct moment_options {
  /// Divides a token's x and f by the RMS of its x. It keeps tokens with huge activations
  /// (attention sinks) from deciding everything.
  bool unit_rms = false;
  /// Takes the full-precision stream, too, and sums `drift`.
  bool drift = false;
};

/// Sums moments over batches of tokens. Products are taken of fixed numbers of tokens, so the bits
/// depend neither on the number of threads nor on how the tokens are cut into batches. Several
/// ranks, which all have the same tokens, share the columns of the products.
template <class T>
class moment_accumulator {
 public:
  /// Sums moments of inputs of this width.
  explicit moment_accumulator(std::size_t width, moment_options options = {},
                              reducer& ranks = one_rank())
      : width_(width),
        options_(options),
        ranks_(ranks),
        plain_(tensor_traits<matrix<T>>::make(chunk, width)),
        scaled_(plain_),
        weights_(chunk),
        sum_abs_(width) {
    sums_.hessian = tensor_traits<matrix<T>>::make(width, width);
    if (!options.drift) return;
    sums_.drift = sums_.hessian;
    shift_ = plain_;
  }

  /// Adds N tokens. x: (N, K); reference: (N, K), f of input_moments, null without `drift`;
  /// weights: N numbers of at least 0, or null where all are 1. Tokens of weight 0 are left out
  /// entirely. Throws shape_error, config_error for a weight that is negative or not finite, and
  /// numeric_error, which names the row, where an activation is not finite or its square overflows.
  void add(matrix_view<const T> x, matrix_view<const T> reference = {},
           row_view<const T> weights = {}, executor_ref ex = {}) {
    require_shape(x, x.rows, width_, "moment_accumulator: x");
    if (options_.drift)
      require_shape(reference, x.rows, width_, "moment_accumulator: reference");
    else if (reference)
      throw config_error("moment_accumulator: a reference needs the option `drift`");
    if (weights) require_size(weights.size, x.rows, "moment_accumulator: weights");
    std::vector<std::pair<std::size_t, T>> chosen;  // row, weight
    for (std::size_t r = 0; r < x.rows; ++r) {
      const T weight = weights ? weights[r] : T(1);
      if (!is_finite(weight) || weight < T(0))
        throw config_error("moment_accumulator: the weight of row " + std::to_string(r) +
                           " is negative or not finite");
      if (weight > T(0)) chosen.emplace_back(r, weight);
    }
    for (std::size_t i = 0; i < chosen.size();) {
      const std::size_t n = std::min(chunk - filled_, chosen.size() - i);
      for_each_row(n, 4 * width_, ex, [&](std::size_t k) {
        const auto [r, weight] = chosen[i + k];
        stage(filled_ + k, r, x.row(r), reference ? reference.row(r) : row_view<const T>{}, weight);
      });
      for (std::size_t k = 0; k < n; ++k) sums_.weight += static_cast<double>(chosen[i + k].second);
      filled_ += n;
      i += n;
      if (filled_ == chunk) flush(ex);
    }
    sums_.tokens += chosen.size();
  }

  /// Ends the sums and hands them out. The accumulator must not be used afterwards.
  [[nodiscard]] input_moments<T> finish(executor_ref ex = {}) && {
    flush(ex);
    share_stripes();
    const matrix_view<T> h = sums_.hessian;
    ex.parallel_for(width_, stripe, [&](std::size_t begin, std::size_t end) {
      for (std::size_t r0 = begin; r0 < width_; r0 += 16)  // tiles of a few cache lines
        for (std::size_t c = begin; c < end; ++c)
          for (std::size_t r = std::max(r0, c + 1); r < std::min(r0 + 16, width_); ++r)
            h(r, c) = h(c, r);
    });
    sums_.mean_abs.assign(width_, T(0));
    if (sums_.weight > 0)
      for (std::size_t c = 0; c < width_; ++c)
        sums_.mean_abs[c] = static_cast<T>(sum_abs_[c] / sums_.weight);
    return std::move(sums_);
  }

 private:
  static constexpr std::size_t chunk = 1024;  // tokens of a product
  static constexpr std::size_t stripe = 256;  // columns of a product

  // Puts a token into row `at` of the buffers. `row` names it in errors.
  void stage(std::size_t at, std::size_t row, row_view<const T> x, row_view<const T> f, T weight) {
    const auto require_finite = [&](T squares, const char* what) {
      if (!is_finite(squares))
        throw numeric_error("moment_accumulator: row " + std::to_string(row) + " of " + what +
                            " has a value that is not finite or too large");
    };
    const T squares = simd::dot(x, x);
    require_finite(squares, "x");
    const T rms = std::sqrt(squares / static_cast<T>(width_));
    const T unit = !options_.unit_rms ? T(1) : rms > T(0) ? 1 / rms : T(0);
    weights_[at] = weight;
    const simd::batch<T> by_unit(unit), by_weight(weight);
    const auto plain = matrix_view<T>(plain_).row(at);
    simd::transform(
        plain, [&](const auto& v) { return by_unit * v; }, x);
    simd::transform(
        matrix_view<T>(scaled_).row(at), [&](const auto& v) { return by_weight * v; },
        row_view<const T>(plain));
    if (!f) return;
    require_finite(simd::dot(f, f), "the reference");
    simd::transform(
        matrix_view<T>(shift_).row(at),
        [&](const auto& u, const auto& v) { return by_weight * (by_unit * (u - v)); }, f, x);
  }

  // Adds the products of the tokens in the buffers.
  void flush(executor_ref ex) {
    const std::size_t n = std::exchange(filled_, 0);
    if (n == 0) return;
    const auto plain = matrix_view<const T>(plain_).row_block(0, n);
    const auto scaled = matrix_view<const T>(scaled_).row_block(0, n);
    const matrix_view<T> h = sums_.hessian;
    // The hessian is symmetric, so only the part above and on the diagonal is computed.
    const matrix_view<const T> shift =
        options_.drift ? matrix_view<const T>(shift_).row_block(0, n) : matrix_view<const T>{};
    for_stripes(ranks_.rank(), [&](std::size_t c, std::size_t wide) {
      gemm<T>(T(1), scaled.col_block(0, c + wide).transposed(), plain.col_block(c, wide),
              h.block(0, c, c + wide, wide), true, ex);
      if (options_.drift)
        gemm<T>(T(1), shift.transposed(), plain.col_block(c, wide),
                matrix_view<T>(sums_.drift).col_block(c, wide), true, ex);
    });
    ex.parallel_for(width_, 64, [&](std::size_t begin, std::size_t end) {
      for (std::size_t r = 0; r < n; ++r)
        for (std::size_t c = begin; c < end; ++c)
          sum_abs_[c] += static_cast<double>(weights_[r] * std::abs(plain(r, c)));
    });
  }

  /// Calls f(first column, columns) for the stripes of a rank.
  template <class F>
  void for_stripes(std::size_t rank, F&& f) const {
    const std::size_t ranks = ranks_.ranks();
    for (std::size_t c = rank * stripe; c < width_; c += ranks * stripe)
      f(c, std::min(stripe, width_ - c));
  }

  /// Every rank gets the stripes of all others.
  void share_stripes() {
    const std::size_t ranks = ranks_.ranks();
    if (ranks == 1) return;
    std::vector<std::size_t> bytes(ranks);
    for (std::size_t r = 0; r < ranks; ++r)
      for_stripes(r, [&](std::size_t c, std::size_t wide) {
        bytes[r] += (c + wide + (options_.drift ? width_ : 0)) * wide * sizeof(T);
      });
    std::vector<T> all(std::accumulate(bytes.begin(), bytes.end(), std::size_t{0}) / sizeof(T));
    // Calls copy(element of `all`, element of the moments) for the stripes of all ranks.
    const auto each = [&](auto&& copy) {
      T* next = all.data();
      for (std::size_t r = 0; r < ranks; ++r)
        for_stripes(r, [&](std::size_t c, std::size_t wide) {
          const auto take = [&](matrix_view<T> m) {
            for (std::size_t i = 0; i < m.rows; ++i)
              for (std::size_t j = 0; j < m.cols; ++j) copy(r, *next++, m(i, j));
          };
          take(matrix_view<T>(sums_.hessian).block(0, c, c + wide, wide));
          if (options_.drift) take(matrix_view<T>(sums_.drift).col_block(c, wide));
        });
    };
    each([&](std::size_t r, T& sent, T& own) {
      if (r == ranks_.rank()) sent = own;
    });
    ranks_.gather(std::as_writable_bytes(std::span(all)), bytes);
    each([](std::size_t, T& sent, T& own) { own = sent; });
  }

  std::size_t width_, filled_ = 0;
  moment_options options_;
  reducer& ranks_;
  // Of the tokens in the buffers: x, w x and w (f - x), all divided by the RMS where that is
  // wanted, and w.
  matrix<T> plain_, scaled_, shift_;
  std::vector<T> weights_;
  std::vector<double> sum_abs_;
  input_moments<T> sums_;
};

}  // namespace tern::inline TERN_ABI
