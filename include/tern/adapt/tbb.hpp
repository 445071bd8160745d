// oneTBB's task scheduler as an executor, for programs that use it elsewhere. Link with tbb.
#pragma once

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <cstddef>

#include "tern/core/executor.hpp"

namespace tern::inline TERN_ABI {

/// Works in the caller's task arena, and so do nested calls.
struct tbb_executor {
  /// Calls f on every chunk, as the concept `executor` says. Each chunk is a TBB task.
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
