// Work on packed sequences with one task for each pair of a sequence and a head. No two tasks write
// the same element, so results have the same bits for any number of threads.
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

/// Throws shape_error naming `what` unless m is rows x cols with contiguous rows.
template <class T>
void require_rows(const matrix_view<T>& m, std::size_t rows, std::size_t cols,
                  std::string_view what) {
  require_shape(m, rows, cols, what);
  if (m.col_stride != 1) throw shape_error(std::string(what) + ": rows must be contiguous");
}

/// Length of the longest sequence. Throws shape_error naming `what` unless offsets ascend from 0 to
/// `tokens`.
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

/// The tasks of all (sequence, head) pairs, divided into at most 32 chunks of consecutive tasks.
/// Each chunk has its own scratch memory.
class sequence_tasks {
 public:
  static constexpr std::size_t most_chunks = 32;  ///< does not depend on the number of threads

  /// `offsets` are those of longest_sequence(). They must outlive this object.
  sequence_tasks(std::span<const std::size_t> offsets, std::size_t heads)
      : offsets_(offsets),
        heads_(heads),
        count_((offsets.size() - 1) * heads),
        grain_(std::max<std::size_t>(1, (count_ + most_chunks - 1) / most_chunks)) {}

  /// Number of chunks, and so of scratch memories that for_each() needs.
  [[nodiscard]] std::size_t chunks() const { return (count_ + grain_ - 1) / grain_; }

  /// Calls f(sequence, first token, length, head, chunk) for every pair. The tasks of a chunk are
  /// done in order.
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
