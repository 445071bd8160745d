// Learning rate and weight decay as functions of the step.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

#include "tern/core/error.hpp"

namespace tern::inline TERN_ABI {

/// Shape of the learning rate after the warm-up.
enum class schedule_kind {
  constant,   ///< the peak
  linear,     ///< a line down to min_ratio at the last step
  cosine,     ///< half a cosine down to min_ratio at the last step
  two_stage,  ///< BitNet's: a line, then in the second half a lower line without weight decay
};

/// Factors in [0, 1] on the peak learning rate and on the weight decay.
struct schedule {
  schedule_kind kind = schedule_kind::cosine;  ///< shape after the warm-up
  std::size_t steps = 1;                       ///< number of all optimizer steps
  std::size_t warmup_steps = 0;                ///< steps of the linear rise to the peak
  double min_ratio = 0.0;                      ///< factor at which linear and cosine end
  double second_stage_ratio = 0.5;  ///< two_stage: height of the second line relative to the first

  /// Learning-rate factor of step 0, 1, ..., steps - 1.
  [[nodiscard]] double rate(std::size_t step) const {
    if (step < warmup_steps)
      return static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
    const double length =
        static_cast<double>(std::max<std::size_t>(steps - std::min(steps, warmup_steps), 1));
    const double done = std::min(static_cast<double>(step - warmup_steps) / length, 1.0);
    switch (kind) {
      case schedule_kind::constant:
        return 1.0;
      case schedule_kind::linear:
        return 1.0 - (1.0 - min_ratio) * done;
      case schedule_kind::cosine:
        return min_ratio + (1.0 - min_ratio) * 0.5 * (1.0 + std::cos(std::numbers::pi * done));
      case schedule_kind::two_stage: {
        const double line = 1.0 - (1.0 - min_ratio) * done;
        return second_stage(step) ? line * second_stage_ratio : line;
      }
    }
    throw config_error("schedule: unknown kind");
  }

  /// Weight-decay factor of a step.
  [[nodiscard]] double decay(std::size_t step) const {
    return kind == schedule_kind::two_stage && second_stage(step) ? 0.0 : 1.0;
  }

 private:
  [[nodiscard]] bool second_stage(std::size_t step) const { return 2 * step >= steps; }
};

}  // namespace tern::inline TERN_ABI
