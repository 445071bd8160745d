// A product of packed weights with activations, beside its definition.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tern/kernel/matmul.hpp"

namespace tern_test {

/// A product with all its operands, and its result by the definition.
template <class Format>
struct product {
  std::size_t m, n, k;
  std::vector<std::int8_t> w, x;
  std::vector<std::int32_t> sums, expected;
  tern::packed_matrix<Format> packed;

  /// weight() and token() give the elements of w and x.
  template <class W, class X>
  product(std::size_t m_, std::size_t n_, std::size_t k_, W weight, X token)
      : m(m_), n(n_), k(k_), w(m * k), x(n * k), sums(n), expected(n * m) {
    for (auto& v : w) v = static_cast<std::int8_t>(weight());
    for (auto& v : x) v = static_cast<std::int8_t>(token());
    for (std::size_t t = 0; t < n; ++t) {
      for (std::size_t c = 0; c < k; ++c) sums[t] += x[t * k + c];
      for (std::size_t r = 0; r < m; ++r)
        for (std::size_t c = 0; c < k; ++c) expected[t * m + r] += w[r * k + c] * x[t * k + c];
    }
    packed = tern::packed_matrix<Format>(tern::matrix_view<const std::int8_t>(w.data(), m, k));
  }

  [[nodiscard]] std::vector<std::int32_t> multiply(tern::isa::level level,
                                                   tern::executor_ref ex = {}) const {
    std::vector<std::int32_t> out(n * m, -77);
    const tern::matrix_view<const std::int8_t> view(x.data(), n, k);
    std::vector<std::byte> workspace(tern::ternary_matmul_workspace(packed, view), std::byte{0x7F});
    tern::ternary_matmul(packed, view, sums, {out.data(), n, m}, workspace, ex, level);
    return out;
  }

  /// Whether the level gives the result of the definition.
  [[nodiscard]] bool right(tern::isa::level level) const { return multiply(level) == expected; }
};

}  // namespace tern_test
