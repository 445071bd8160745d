// A scale rule finds the scales of a matrix that becomes ternary. Unlike a weight quantizer it
// gives no codes: those are always the nearest ones, code = clip(round(w / s), -1, 1), because
// calibration changes weights after their scale has been found.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tern/core/is_finite.hpp"
#include "tern/quant/quantizer.hpp"

namespace tern::inline TERN_ABI {

/// r.scale_block(rows, cols) is the block of weights that shares a scale, as in has_scale_block,
/// but may depend on options of the rule. r.template find<T>(w, scales, executor) fills scales of
/// the shape scale_extents(). A rule whose block is 1 row high and narrower than the matrix is also
/// called with some rows of one column of blocks, so a scale may depend on its own block only.
template <class R, class T>
concept scale_rule = requires(const R& r, matrix_view<const T> w, matrix_view<T> scales,
                              executor_ref ex, std::size_t n) {
  { r.scale_block(n, n) } -> std::same_as<extents>;
  r.template find<T>(w, scales, ex);
};

/// The scales of a weight quantizer such as absmean or block<64>, as a scale rule. Its codes are
/// dropped.
template <has_scale_block Q>
struct policy_scale {
  Q policy{};  ///< finds the scales

  /// The block of the policy.
  [[nodiscard]] constexpr extents scale_block(std::size_t rows, std::size_t cols) const {
    return policy.scale_block(rows, cols);
  }

  /// w (M, K) -> scales. Throws what the policy throws.
  template <class T>
    requires quantizes_weights<Q, T>
  void find(matrix_view<const T> w, matrix_view<T> scales, executor_ref ex = {}) const {
    std::vector<std::int8_t> codes(w.size());
    policy.template quantize<T>(w, {codes.data(), w.rows, w.cols}, scales, ex);
  }
};

/// Finds scales by a rule and makes them usable as divisors: a block of zeros, whose scale a rule
/// gives as 0, gets scale 1, so that w / s is defined. Throws numeric_error for a negative scale or
/// one that is not finite.
template <class T, scale_rule<T> R>
void find_positive_scales(const R& rule, matrix_view<const T> w, matrix_view<T> scales,
                          executor_ref ex = {}) {
  rule.template find<T>(w, scales, ex);
  for (std::size_t r = 0; r < scales.rows; ++r)
    for (std::size_t c = 0; c < scales.cols; ++c) {
      T& scale = scales(r, c);
      if (!is_finite(scale) || scale < T(0))
        throw numeric_error("scale rule: a scale is negative or not finite");
      if (scale == T(0)) scale = T(1);
    }
}

}  // namespace tern::inline TERN_ABI
