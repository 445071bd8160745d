// Matrices as one row of elements, which are sent or added up without regard to their shapes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "tern/core/reducer.hpp"
#include "tern/core/tensor.hpp"
#include "tern/train/row_shard.hpp"

namespace tern::inline TERN_ABI {
namespace detail {

/// Matrices as one row of elements.
template <class T>
class flat_view {
 public:
  /// Appends a matrix, row after row.
  void add(matrix_view<T> m) {
    if (m.size() == 0) return;
    matrices_.push_back(m);
    begins_.push_back(size_);
    size_ += m.size();
  }
  [[nodiscard]] std::size_t size() const { return size_; }
  /// Calls f(elements, i) for runs of elements that follow each other in one row of a matrix; `i`
  /// counts from `first`.
  template <class F>
  void visit(std::size_t first, std::size_t n, F&& f) const {
    auto k = static_cast<std::size_t>(std::ranges::upper_bound(begins_, first) - begins_.begin());
    for (std::size_t done = 0; done < n; ++k) {
      const matrix_view<T>& m = matrices_[k - 1];
      std::size_t at = first + done - begins_[k - 1];
      for (; at < m.size() && done < n;) {
        const row_view<T> row = m.row(at / m.cols);
        const std::size_t c = at % m.cols, count = std::min(m.cols - c, n - done);
        f(row_view<T>(row.data + c * row.stride, count, row.stride), done);
        at += count;
        done += count;
      }
    }
  }

 private:
  std::vector<matrix_view<T>> matrices_;
  std::vector<std::size_t> begins_;
  std::size_t size_ = 0;
};

/// Every rank gets the elements of all others from their owners.
template <class T>
void share_elements(reducer& ranks, const row_shard& shard, const flat_view<T>& all) {
  if (ranks.ranks() == 1) return;
  std::vector<T> buffer;
  std::vector<std::size_t> bytes(ranks.ranks());
  shard.for_each_piece([&](std::span<const element_range> parts) {
    std::size_t size = 0;
    for (std::size_t r = 0; r < parts.size(); ++r) {
      bytes[r] = parts[r].count * sizeof(T);
      size += parts[r].count;
    }
    buffer.resize(size);
    // Calls f(elements, their place in the buffer) for those of each rank whose `own` is asked for.
    const auto visit = [&](bool own, auto&& f) {
      T* at = buffer.data();
      for (std::size_t r = 0; r < parts.size(); at += parts[r++].count)
        if ((r == ranks.rank()) == own)
          all.visit(parts[r].first, parts[r].count,
                    [&](row_view<T> x, std::size_t i) { f(x, at + i); });
    };
    visit(true, [](row_view<T> x, T* to) {
      for (std::size_t i = 0; i < x.size; ++i) to[i] = x[i];
    });
    ranks.gather(std::as_writable_bytes(std::span(buffer)), bytes);
    visit(false, [](row_view<T> x, const T* from) {
      for (std::size_t i = 0; i < x.size; ++i) x[i] = from[i];
    });
  });
}

}  // namespace detail
}  // namespace tern::inline TERN_ABI
