// OpenMP's threads as an executor, for programs whose other loops use them.
#pragma once

#ifndef _OPENMP
#  error "tern/adapt/openmp.hpp needs OpenMP: compile with -fopenmp"
#endif

#include <algorithm>
#include <cstddef>
#include <exception>
#include <mutex>

#include "tern/core/executor.hpp"

namespace tern::inline TERN_ABI {

/// Inside a parallel region of the caller each thread works alone, unless OMP_MAX_ACTIVE_LEVELS
/// allows nested regions. This is OpenMP's rule.
struct openmp_executor {
  /// Calls f on every chunk, as the concept `executor` says, on the threads of an OpenMP team.
  static void parallel_for(std::size_t n, std::size_t grain, range_function f) {
    grain = std::max<std::size_t>(grain, 1);
    const std::size_t chunks = (n + grain - 1) / grain;
    std::once_flag failed;
    std::exception_ptr failure;  // an exception must not leave the parallel region
#pragma omp parallel for schedule(dynamic)
    for (std::size_t i = 0; i < chunks; ++i) {
      try {
        f(i * grain, std::min(n, (i + 1) * grain));
      } catch (...) {
        std::call_once(failed, [&] { failure = std::current_exception(); });
      }
    }
    if (failure) std::rethrow_exception(failure);
  }
};

}  // namespace tern::inline TERN_ABI
