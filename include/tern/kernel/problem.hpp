// One matrix product as kernels see it: pointers and sizes, cut into tasks by shape alone.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "tern/pack/packed_matrix.hpp"

namespace tern::inline TERN_ABI::kernel {

/// out[n][m] = sum over k of w[m][k] x[n][k]. `x` rows are readable up to whole blocks of columns
/// and hold zeros past the last column of w.
template <class Format>
struct problem {
  packed_view<Format> weights;
  const std::int8_t* x;
  std::size_t x_stride, tokens;
  const std::int32_t* row_sums;
  std::int32_t* out;
  std::size_t out_stride;

  /// A task is up to 64 rows of the weights and 240 tokens: a multiple of every tile size, and
  /// small enough for a core's L2 cache.
  static constexpr std::size_t task_panels = 4, task_tokens = 240;

  [[nodiscard]] std::size_t row_tasks() const {
    return (weights.panels() + task_panels - 1) / task_panels;
  }
  [[nodiscard]] std::size_t tasks() const {
    return row_tasks() * ((tokens + task_tokens - 1) / task_tokens);
  }

  /// Panels [panel, panel_end), tokens [token, token_end) of task i.
  struct range {
    std::size_t panel, panel_end, token, token_end;
  };
  [[nodiscard]] range task(std::size_t i) const {
    const std::size_t panel = i % row_tasks() * task_panels, token = i / row_tasks() * task_tokens;
    return {panel, std::min(panel + task_panels, weights.panels()), token,
            std::min(token + task_tokens, tokens)};
  }
};

}  // namespace tern::inline TERN_ABI::kernel
