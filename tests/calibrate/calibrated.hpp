// What the tests of calibrate/ share: weights quantized into matrices of their own, and hessians.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/calibrate/gptq.hpp"
#include "tern/calibrate/least_squares_scale.hpp"
#include "tern/core/random.hpp"
#include "tests/gradient_check.hpp"

namespace tern_test {

/// Codes, scales and latents of GPTQ.
template <class T>
struct calibrated {
  tern::extents block;
  std::vector<std::int8_t> codes;
  tern::matrix<T> scales, latents;

  template <class R>
  calibrated(const tern::matrix<T>& w, const tern::hessian_factor<T>& factor, const R& rule,
             tern::gptq options = {}, tern::executor_ref ex = {})
      : latents(w) {
    const auto m = static_cast<std::size_t>(w.rows()), k = static_cast<std::size_t>(w.cols());
    block = rule.scale_block(m, k);
    const tern::extents n = tern::scale_extents({m, k}, block);
    codes.assign(m * k, 77);
    scales = tern::tensor_traits<tern::matrix<T>>::make(n.rows, n.cols);
    tern::arena memory;
    options.template quantize<T>(w, factor, rule, {{codes.data(), m, k}, scales, latents}, memory,
                                 ex);
  }

  /// (M, K)
  [[nodiscard]] tern::matrix_view<const std::int8_t> code_view() const {
    return {codes.data(), static_cast<std::size_t>(latents.rows()),
            static_cast<std::size_t>(latents.cols())};
  }

  /// Codes times scales.
  [[nodiscard]] tern::matrix<T> values() const {
    tern::matrix<T> out(latents.rows(), latents.cols());
    tern::dequantize<T>(code_view(), tern::matrix_view<const T>(scales), block, out);
    return out;
  }

  /// The codes as reals, for comparisons.
  [[nodiscard]] tern::matrix<T> real_codes() const {
    tern::matrix<T> out(latents.rows(), latents.cols());
    for (std::size_t i = 0; i < codes.size(); ++i) out.data()[i] = static_cast<T>(codes[i]);
    return out;
  }
};

/// A factor of a matrix.
template <class T>
tern::hessian_factor<T> factor_of(const tern::matrix<T>& hessian,
                                  tern::hessian_factor_options options = {}) {
  return tern::hessian_factor<T>(tern::matrix_view<const T>(hessian), options);
}

/// x^T x of n random tokens whose channels are correlated and unequally active.
template <class T>
tern::matrix<T> random_hessian(std::size_t k, std::size_t n, std::uint64_t seed) {
  tern::matrix<T> x = random_matrix<T>(n, k, seed);
  for (Eigen::Index c = 0; c < x.cols(); ++c) {
    x.col(c) *= static_cast<T>(1 + c % 5);
    if (c > 0) x.col(c) += T(0.5) * x.col(c - 1);
  }
  return x.transpose() * x;
}

}  // namespace tern_test
