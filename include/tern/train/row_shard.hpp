// Which rows of the parameters each rank owns: it alone adds up their gradients, keeps their
// moments and updates them (Rajbhandari et al., "ZeRO", 2020, stage 1).
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "tern/core/executor.hpp"
#include "tern/quant/quantizer.hpp"

namespace tern::inline TERN_ABI {

/// Rows of a parameter that make one chunk, of which there are at most 64. They depend on the shape
/// alone, and so do sums that are taken chunk by chunk.
inline std::size_t rows_of_chunk(extents shape) {
  constexpr std::size_t most = 64;
  return std::max(rows_per_chunk(shape.cols), (shape.rows + most - 1) / most);
}

/// Rows of a parameter that follow each other.
struct row_range {
  std::size_t first = 0, count = 0;  ///< number of the first row, and of all rows
};

/// Elements of all parameters, one after the other, that follow each other.
struct element_range {
  std::size_t first = 0, count = 0;  ///< number of the first element, and of all elements
};

/// The parameters' chunks of rows, dealt to ranks. A rank owns chunks that follow each other, with
/// about as many elements as each other rank has.
class row_shard {
 public:
  row_shard() = default;
  /// `shapes` are those of all parameters in the order of the model, with no rows where a parameter
  /// has no gradient: no rank owns it.
  row_shard(std::vector<extents> shapes, std::size_t ranks)
      : shapes_(std::move(shapes)), chunks_(ranks + 1) {
    std::size_t total = 0;
    for (const extents& shape : shapes_) {
      firsts_.push_back(total);
      total += shape.rows * shape.cols;
    }
    begins_.assign(ranks + 1, total);
    begins_.front() = 0;
    std::size_t owner = 0;
    for (std::size_t i = 0; i < shapes_.size(); ++i) {
      const auto [rows, cols] = shapes_[i];
      if (cols == 0) continue;
      const std::size_t grain = rows_of_chunk(shapes_[i]);
      for (std::size_t row = 0; row < rows; row += grain) {
        // The owner is the rank whose equal share of all elements has the middle of the chunk.
        const std::size_t begin = firsts_[i] + row * cols,
                          end = firsts_[i] + std::min(rows, row + grain) * cols;
        const std::size_t next = (begin + end) * ranks / (2 * total);
        for (; owner < next; ++owner) {
          begins_[owner + 1] = begin;
          chunks_[owner + 1] = chunks_.back();
        }
        ++chunks_.back();
      }
    }
    std::fill(chunks_.begin() + static_cast<std::ptrdiff_t>(owner) + 1, chunks_.end(),
              chunks_.back());
  }

  /// Number of ranks.
  [[nodiscard]] std::size_t ranks() const { return begins_.size() - 1; }
  /// The shape of parameter `index`, without rows where no rank owns it.
  [[nodiscard]] extents shape(std::size_t index) const { return shapes_[index]; }
  /// The elements of rank r.
  [[nodiscard]] element_range elements(std::size_t r) const {
    return {begins_[r], begins_[r + 1] - begins_[r]};
  }
  /// The rows of parameter `index`, in the order of the model, that rank r owns.
  [[nodiscard]] row_range rows(std::size_t index, std::size_t r) const {
    const std::size_t cols = shapes_[index].cols, first = firsts_[index],
                      end = first + shapes_[index].rows * cols;
    if (first == end) return {};
    const std::size_t from = std::clamp(begins_[r], first, end),
                      to = std::clamp(begins_[r + 1], first, end);
    return {(from - first) / cols, (to - from) / cols};
  }
  /// Number of the first chunk of rank r; for the number of ranks, that of all chunks.
  [[nodiscard]] std::size_t first_chunk(std::size_t r) const { return chunks_[r]; }

  /// Calls f(parts) until the parts were all elements; parts[r] is one of rank r's. Together they
  /// are at most about 2^20 elements.
  template <class F>
  void for_each_piece(F&& f) const {
    const std::size_t most = std::max<std::size_t>(1, (std::size_t{1} << 20) / ranks());
    std::size_t longest = 0;
    for (std::size_t r = 0; r < ranks(); ++r) longest = std::max(longest, elements(r).count);
    std::vector<element_range> parts(ranks());
    for (std::size_t at = 0; at < longest; at += most) {
      for (std::size_t r = 0; r < ranks(); ++r) {
        const auto [first, count] = elements(r);
        const std::size_t from = std::min(at, count);
        parts[r] = {first + from, std::min(most, count - from)};
      }
      f(std::span<const element_range>(parts));
    }
  }

 private:
  std::vector<extents> shapes_;
  std::vector<std::size_t> firsts_;        // first element of each parameter
  std::vector<std::size_t> begins_{0, 0};  // first element of each rank, and the number of all
  std::vector<std::size_t> chunks_{0, 0};  // the same for chunks
};

}  // namespace tern::inline TERN_ABI
