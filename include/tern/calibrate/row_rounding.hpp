// Rounding the weights of a projection in tasks of some rows, which threads and ranks share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tern/calibrate/calibrated_input.hpp"
#include "tern/calibrate/calibration_options.hpp"
#include "tern/calibrate/coordinate_descent.hpp"
#include "tern/calibrate/gptq.hpp"
#include "tern/calibrate/least_squares_scale.hpp"
#include "tern/calibrate/refit_scales.hpp"
#include "tern/core/arena.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/per_thread.hpp"
#include "tern/core/together.hpp"

namespace tern::inline TERN_ABI {

/// The rounding of a projection's weights (M, K) for an input.
template <class T>
struct row_rounding {
  const calibrated_input<T>& input;    ///< The moments of the input, and what was made of them.
  matrix_view<const T> original;       ///< Weights of the full-precision model.
  extents block;                       ///< Rows and columns that share a scale.
  least_squares_scale rule;            ///< The rule for the scales.
  const calibration_options& options;  ///< They say how to round.
  calibrated_weights<T> to;            ///< The result. Before, its latents are the weights.

  /// Rounds all rows. Tasks do not depend on the number of threads or ranks, and neither do bits.
  /// Throws numeric_error, or rank_error on every rank where one fails.
  void operator()(reducer& ranks, executor_ref ex) const {
    // Rows that share scales with others stay together.
    const std::size_t rows = original.rows, task = block.rows == 1 ? rows_of_task : rows,
                      tasks = (rows + task - 1) / task;
    const auto first_task = [&](std::size_t rank) {
      return (rank * tasks + ranks.ranks() - 1) / ranks.ranks();
    };
    const std::size_t own = first_task(ranks.rank()), end = first_task(ranks.rank() + 1);
    together(ranks, [&] {
      if (tasks == 1 && own < end) return round(0, rows, ex);
      ex.parallel_for(end - own, 1, [&](std::size_t begin, std::size_t last) {
        for (std::size_t i = own + begin; i < own + last; ++i)
          round(i * task, std::min(rows, (i + 1) * task), {});
      });
    });
    std::vector<std::size_t> row(ranks.ranks() + 1);
    for (std::size_t r = 0; r < row.size(); ++r) row[r] = std::min(rows, first_task(r) * task);
    gather_rows(ranks, to.codes, row);
    gather_rows(ranks, to.latents, row);
    if (block.rows != 1)
      for (std::size_t& r : row) r = std::min(r, to.scales.rows);
    gather_rows(ranks, to.scales, row);
  }

 private:
  static constexpr std::size_t rows_of_task = 48;

  void round(std::size_t first, std::size_t end, executor_ref ex) const {
    arena& memory = per_thread<arena>();
    const arena_scope temporaries(memory);
    const auto rows = [&](auto m) { return m.row_block(first, end - first); };
    const calibrated_weights<T> part{rows(to.codes), block.rows == 1 ? rows(to.scales) : to.scales,
                                     rows(to.latents)};
    if (input.correction()) input.correction()->apply(part.latents, memory, ex);
    const matrix_view<T> target = memory.matrix<T>(end - first, original.cols);
    copy_matrix<T>(part.latents, target);
    gptq{}.quantize<T>(target, input.factor(), rule, part, memory, ex);
    if (options.scale_ridge >= 0)
      refit_scales<T>(rows(original), part.codes, block, input.moments(), options.scale_ridge,
                      part.scales, memory, ex);
    coordinate_descent{options.sweeps, options.damping}.improve<T>(target, input.moments().hessian,
                                                                   block, part, memory, ex);
  }
};

}  // namespace tern::inline TERN_ABI
