// Ops whose result is a sum over rows are split into blocks of columns, which depend on the shape
// alone. Ops with independent rows use for_each_row.
#pragma once

#include <algorithm>
#include <cstddef>

#include "tern/core/executor.hpp"

namespace tern::inline TERN_ABI {

/// Calls f(first, count) for disjoint blocks that cover all columns. A block has about 2^15
/// elements. It is at least 128 columns wide, since reading shorter pieces of rows is slow, and a
/// multiple of 16 columns wide; the last block may be narrower.
template <class F>
void for_column_blocks(std::size_t rows, std::size_t cols, executor_ref ex, F f) {
  const std::size_t wanted = (std::size_t{1} << 15) / std::max<std::size_t>(rows, 1);
  ex.parallel_for(cols, std::max<std::size_t>(128, (wanted + 16) / 16 * 16),
                  [&](std::size_t begin, std::size_t end) { f(begin, end - begin); });
}

}  // namespace tern::inline TERN_ABI
