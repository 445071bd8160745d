// The product as its definition has it, for any machine and any format. Tests compare the other
// levels with it.
#pragma once

#include <algorithm>
#include <array>

#include "tern/kernel/problem.hpp"

namespace tern::inline TERN_ABI::kernel::scalar {

/// Always 0: tokens stay rows.
inline std::size_t group_size(std::size_t) { return 0; }

/// Tasks [begin, end) of the problem.
template <class Format>
void compute(const problem<Format>& p, std::size_t begin, std::size_t end, std::uint8_t*) {
  std::array<std::int8_t, Format::rows * Format::cols> w;
  const std::size_t lines = p.weights.panel_lines();
  for (std::size_t i = begin; i < end; ++i) {
    const auto t = p.task(i);
    const std::size_t row_end = std::min(t.panel_end * Format::rows, p.weights.rows);
    for (std::size_t n = 0; n < p.tokens(); ++n)
      for (std::size_t m = t.panel * Format::rows; m < row_end; ++m)
        p.out[n * p.out_stride + m] = 0;
    for (std::size_t panel = t.panel; panel < t.panel_end; ++panel)
      for (std::size_t line = 0; line < lines; ++line) {
        Format::unpack(p.weights.panel(panel)[line], w.data(), Format::cols);
        const std::size_t m0 = panel * Format::rows, m1 = std::min(m0 + Format::rows, row_end);
        for (std::size_t n = 0; n < p.tokens(); ++n) {
          const std::int8_t* x = p.x + n * p.x_stride + p.x_first + line * Format::cols;
          for (std::size_t m = m0; m < m1; ++m) {
            std::int32_t sum = 0;
            for (std::size_t k = 0; k < Format::cols; ++k)
              sum += w[(m - m0) * Format::cols + k] * x[k];
            p.out[n * p.out_stride + m] += sum;
          }
        }
      }
  }
}

/// The functions of the level.
template <class Format>
inline constexpr entry<Format> entry_of{compute<Format>, group_size};

}  // namespace tern::inline TERN_ABI::kernel::scalar
