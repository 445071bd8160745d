// Work on packed sequences, one task per (sequence, head): no two tasks write the same element, so
// any number of threads gives the same bits.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "tern/core/arena.hpp"
#include "tern/core/error.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// Throws shape_error unless m is rows x cols with contiguous rows.
template <class T>
void require_rows(const matrix_view<T>& m, std::size_t rows, std::size_t cols,
                  std::string_view what) {
  require_shape(m, rows, cols, what);
  if (m.col_stride != 1) throw shape_error(std::string(what) + ": rows must be contiguous");
}

/// Length of the longest sequence. Throws shape_error unless offsets ascend from 0 to `tokens`.
inline std::size_t longest_sequence(std::span<const std::size_t> offsets, std::size_t tokens,
                                    std::string_view what) {
  if (offsets.empty() || offsets.front() != 0 || offsets.back() != tokens ||
      !std::is_sorted(offsets.begin(), offsets.end()))
    throw shape_error(std::string(what) + ": offsets must ascend from 0 to " +
                      std::to_string(tokens));
  std::size_t longest = 0;
  for (std::size_t i = 1; i < offsets.size(); ++i)
    longest = std::max(longest, offsets[i] - offsets[i - 1]);
  return longest;
}

/// The tasks of all (sequence, head) pairs, dealt out in at most 32 runs of consecutive tasks. Each
/// run has scratch of its own.
class sequence_tasks {
 public:
  static constexpr std::size_t most_runs = 32;  ///< whatever the number of threads

  /// `offsets`: as longest_sequence() takes them, alive as long as this.
  sequence_tasks(std::span<const std::size_t> offsets, std::size_t heads)
      : offsets_(offsets),
        heads_(heads),
        count_((offsets.size() - 1) * heads),
        grain_(std::max<std::size_t>(1, (count_ + most_runs - 1) / most_runs)) {}

  /// How many scratches for_each needs.
  [[nodiscard]] std::size_t runs() const { return (count_ + grain_ - 1) / grain_; }

  /// f(sequence, first token, length, head, run) for every pair; each run in order.
  template <class F>
  void for_each(executor_ref ex, F&& f) const {
    ex.parallel_for(count_, grain_, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const std::size_t s = i / heads_;
        f(s, offsets_[s], offsets_[s + 1] - offsets_[s], i % heads_, begin / grain_);
      }
    });
  }

 private:
  std::span<const std::size_t> offsets_;
  std::size_t heads_, count_, grain_;
};

}  // namespace tern::inline TERN_ABI
