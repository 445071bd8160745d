// oneTBB's task scheduler as an executor, for programs that use it elsewhere. Link with tbb.
#pragma once

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <cstddef>

#include "tern/core/executor.hpp"

namespace tern::inline TERN_ABI {

/// In the caller's task arena, nested calls included.
struct tbb_executor {
  /// As `executor` asks; chunks of one call are TBB tasks.
  static void parallel_for(std::size_t n, std::size_t grain, range_function f) {
    grain = std::max<std::size_t>(grain, 1);
    using range = oneapi::tbb::blocked_range<std::size_t>;
    oneapi::tbb::parallel_for(
        range(0, (n + grain - 1) / grain),
        [&](const range& chunks) {
          for (std::size_t i = chunks.begin(); i < chunks.end(); ++i)
            f(i * grain, std::min(n, (i + 1) * grain));
        },
        oneapi::tbb::simple_partitioner());
  }
};

}  // namespace tern::inline TERN_ABI
