// A matrix product as kernels see it: pointers and sizes, cut into tasks by its shape alone.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "tern/kernel/group_scaling.hpp"
#include "tern/pack/packed_matrix.hpp"

namespace tern::inline TERN_ABI::kernel {

/// Tokens cut into groups of at most `most`. Sizes differ by one at most; longer groups come first.
struct token_partition {
  std::size_t groups = 1, size = 0, longer = 0;

  token_partition(std::size_t tokens, std::size_t most)
      : groups((tokens + most - 1) / most), size(tokens / groups), longer(tokens % groups) {}
  /// First token of a group.
  [[nodiscard]] std::size_t first(std::size_t group) const {
    return group * size + std::min(group, longer);
  }
};

/// out[n][m] = sum over k of w[m][k] x[n][k]. x holds zeros past the last column of each group of
/// columns of w, up to the columns of a whole line. Several groups have a `scaling`, which says
/// what becomes of the sums of each; then `out` is not used.
template <class Format>
struct problem {
  packed_view<Format> weights;
  const std::int8_t* x;
  std::size_t x_stride;  ///< bytes of a token
  std::size_t x_first;   ///< place of the first column of w among the columns of x
  /// Whether x stands as group_tokens() makes it. Else tokens are rows, or tiles as tile_tokens()
  /// makes them.
  bool grouped;
  token_partition parts;
  /// Each token's sum of activations times the least code, group after group of columns: where the
  /// sums of products of digits start.
  const std::int32_t* starts;
  std::size_t starts_step;  ///< from one group of columns to the next
  std::int32_t* out;
  std::size_t out_stride;
  std::size_t task_groups;     ///< groups of tokens in a task
  group_scaling scaling = {};  ///< makes real numbers of sums where its totals are not null

  /// A task has up to 64 rows of the weights and up to 264 tokens, which take 1 MiB at most: its
  /// operands fit into the L2 cache of a core. Tokens are cut into tasks of nearly equal size.
  static constexpr std::size_t task_panels = 4, task_tokens = 264,
                               task_bytes = std::size_t{1} << 20;
  static std::size_t groups_of_task(std::size_t cols, const token_partition& parts) {
    const std::size_t most =
        std::max<std::size_t>(1, std::min(task_tokens, task_bytes / cols) / parts.first(1));
    const std::size_t pieces = (parts.groups + most - 1) / most;
    return (parts.groups + pieces - 1) / pieces;
  }

  /// Lines of a panel whose sums belong together: those of a group of columns.
  [[nodiscard]] std::size_t group_lines() const {
    return scaling.totals == nullptr ? weights.panel_lines() : weights.group_lines();
  }
  [[nodiscard]] std::size_t tokens() const { return parts.first(parts.groups); }
  [[nodiscard]] std::size_t row_tasks() const {
    return (weights.panels() + task_panels - 1) / task_panels;
  }
  [[nodiscard]] std::size_t token_tasks() const {
    return (parts.groups + task_groups - 1) / task_groups;
  }
  [[nodiscard]] std::size_t tasks() const { return row_tasks() * token_tasks(); }

  /// Panels [panel, panel_end) of the weights and groups [group, group_end) of the tokens.
  struct range {
    std::size_t panel, panel_end, group, group_end;
  };
  /// What task i multiplies.
  [[nodiscard]] range task(std::size_t i) const {
    const std::size_t panel = i % row_tasks() * task_panels, group = i / row_tasks() * task_groups;
    return {panel, std::min(panel + task_panels, weights.panels()), group,
            std::min(group + task_groups, parts.groups)};
  }

  /// A part of the result.
  struct extent {
    std::size_t row, rows, token, tokens;
  };
  /// The part of the result that task i computes.
  [[nodiscard]] extent part(std::size_t i) const {
    const range t = task(i);
    const std::size_t row = t.panel * Format::rows,
                      row_end = std::min(t.panel_end * Format::rows, weights.rows);
    const std::size_t token = parts.first(t.group);
    return {row, row_end - row, token, parts.first(t.group_end) - token};
  }
};

/// The functions of an instruction-set level for a format.
template <class Format>
struct entry {
  /// Computes tasks [begin, end) of the problem. Where group_size() is not 0, `bytes` points to
  /// unpacked_bytes of memory that begin at a cache line.
  void (*compute)(const problem<Format>& p, std::size_t begin, std::size_t end,
                  std::uint8_t* bytes) = nullptr;
  /// The most tokens of a group where there are `tokens` in all; 0 where tokens stay rows.
  std::size_t (*group_size)(std::size_t tokens) = nullptr;
  std::size_t unpacked_bytes = 0;  ///< memory for digits of weights, for each thread
  /// Groups of columns of up to this number of lines may have a `scaling`.
  std::size_t scaled_lines = 0;
  /// From this number of tokens on, groups stand as tile_tokens() makes them.
  std::size_t tiled_from = std::numeric_limits<std::size_t>::max();
};

}  // namespace tern::inline TERN_ABI::kernel
