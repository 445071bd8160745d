// What calibration knows of the input that some projections of a layer share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/calibrate/calibration_options.hpp"
#include "tern/calibrate/gptq.hpp"
#include "tern/calibrate/hessian_factor.hpp"
#include "tern/calibrate/input_moments.hpp"
#include "tern/calibrate/scale_rule.hpp"
#include "tern/calibrate/stream_recorder.hpp"
#include "tern/calibrate/target_correction.hpp"
#include "tern/core/reducer.hpp"
#include "tern/linalg/gemm.hpp"
#include "tern/quant/given_scales.hpp"

namespace tern::inline TERN_ABI {

/// Moments of an input in both streams, what is made of them once for all projections, and a sample
/// of tokens on which errors are measured.
template <class T>
class calibrated_input {
 public:
  /// x and reference (tokens, in): the input in the quantized and in the full-precision stream.
  /// hidden_rms: root mean squares of the tokens' hidden states before the layer. All ranks have
  /// the same, and share the products. Throws numeric_error, on all of them, where something is not
  /// finite.
  calibrated_input(matrix_view<const T> x, matrix_view<const T> reference,
                   const std::vector<T>& hidden_rms, const calibration_options& options,
                   executor_ref ex, reducer& ranks = one_rank())
      : weights_(x.rows, T(1)) {
    find_sinks(row_rms(x), options);
    find_sinks(row_rms(reference), options);
    find_sinks(hidden_rms, options);
    moment_accumulator<T> sums(x.cols, {options.unit_rms, options.correct_target}, ranks);
    sums.add(x, options.correct_target ? reference : matrix_view<const T>{}, weights_, ex);
    moments_ = std::move(sums).finish(ex);
    factor_.emplace(moments_.hessian, hessian_factor_options{options.damping}, ex);
    if (options.correct_target) correction_.emplace(moments_, options.ridge, ex);
    take_sample(x, reference);
  }

  /// The moments of both streams.
  [[nodiscard]] const input_moments<T>& moments() const { return moments_; }
  /// The factor that GPTQ works with.
  [[nodiscard]] const hessian_factor<T>& factor() const { return *factor_; }
  /// The correction towards the full-precision stream, or null.
  [[nodiscard]] const target_correction<T>* correction() const {
    return correction_ ? &*correction_ : nullptr;
  }
  /// The weight of each token in the moments; that of a sink is below 1.
  [[nodiscard]] const std::vector<T>& weights() const { return weights_; }
  /// Number of tokens that are sinks here.
  [[nodiscard]] std::size_t sinks() const { return sinks_; }

  /// The squared difference between the outputs of codes with scales for the quantized stream and
  /// those of the original weights (out, in) for the full-precision stream, relative to the latter,
  /// over the sample.
  double error(matrix_view<const T> original, matrix_view<const std::int8_t> codes,
               matrix_view<const T> scales, extents block, arena& memory, executor_ref ex) const {
    const arena_scope temporaries(memory);
    const auto rounded = memory.matrix<T>(codes.rows, codes.cols);
    dequantize<T>(codes, scales, block, rounded, ex);
    const std::size_t n = matrix_view<const T>(x_).rows;
    const auto got = memory.matrix<T>(n, codes.rows), want = memory.matrix<T>(n, codes.rows);
    gemm<T>(T(1), x_, matrix_view<const T>(rounded).transposed(), got, false, ex);
    gemm<T>(T(1), reference_, original.transposed(), want, false, ex);
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      const auto y = static_cast<double>(want.data[i]);
      const double d = static_cast<double>(got.data[i]) - y;
      difference += d * d;
      size += y * y;
    }
    return size == 0 ? difference : difference / size;
  }

  /// The same error where the weights are rounded to nearest. `codes` is overwritten.
  template <scale_rule<T> R>
  double nearest_error(matrix_view<const T> original, const R& rule, matrix_view<std::int8_t> codes,
                       arena& memory, executor_ref ex) const {
    const arena_scope temporaries(memory);
    const extents block = rule.scale_block(original.rows, original.cols),
                  n = scale_extents({original.rows, original.cols}, block);
    const auto scales = memory.matrix<T>(n.rows, n.cols), used = memory.matrix<T>(n.rows, n.cols);
    find_positive_scales<T>(rule, original, scales, ex);
    given_scales<T>{scales, block}.template quantize<T>(original, codes, used, ex);
    return error(original, codes, used, block, memory, ex);
  }

 private:
  static constexpr std::size_t sample_size = 512;  // tokens at most

  void find_sinks(const std::vector<T>& rms, const calibration_options& options) {
    if (options.sink_ratio == 0) return;
    const T limit = static_cast<T>(options.sink_ratio) * median(rms);
    for (std::size_t i = 0; i < rms.size(); ++i)
      if (rms[i] > limit) weights_[i] = std::min(weights_[i], (limit / rms[i]) * (limit / rms[i]));
    sinks_ = static_cast<std::size_t>(
        std::ranges::count_if(weights_, [](T weight) { return weight != T(1); }));
  }

  /// Keeps evenly spaced tokens that are no sinks.
  void take_sample(matrix_view<const T> x, matrix_view<const T> reference) {
    std::vector<std::size_t> rows;
    for (std::size_t r = 0; r < x.rows; ++r)
      if (weights_[r] == T(1)) rows.push_back(r);
    const std::size_t n = std::min(sample_size, rows.size());
    for (auto [from, to] : {std::pair(x, &x_), std::pair(reference, &reference_)}) {
      *to = tensor_traits<matrix<T>>::make(n, x.cols);
      const matrix_view<T> out = *to;
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t c = 0; c < x.cols; ++c) out(i, c) = from(rows[i * rows.size() / n], c);
    }
  }

  std::vector<T> weights_;
  std::size_t sinks_ = 0;
  input_moments<T> moments_;
  std::optional<hessian_factor<T>> factor_;
  std::optional<target_correction<T>> correction_;
  matrix<T> x_, reference_;  // the sample
};

}  // namespace tern::inline TERN_ABI
