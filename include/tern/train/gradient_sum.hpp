// The sum of the gradients of a step's parts. It is taken in a binary tree over the numbers of the
// parts, so it has the same bits for any number of ranks:
//
//   part   0   1   2   3   4
//          └ + ┘   └ + ┘   |
//            └── + ──┘     |
//                └─── + ───┘
//
// A rank adds up the whole subtrees of its own parts. Then each rank gets from all others their
// part of a range of elements, and adds these up along the rest of the tree.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "tern/core/executor.hpp"
#include "tern/core/tensor.hpp"
#include "tern/train/reducer.hpp"
#include "tern/train/step_deal.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// A subtree over `size` parts, a power of two, of which `first` is the first one.
struct subtree {
  std::size_t first = 0, size = 1;

  /// Whether `right` and this subtree are the two halves of a larger one.
  [[nodiscard]] bool is_left_of(const subtree& right) const {
    return size == right.size && first % (2 * size) == 0 && first + size == right.first;
  }
};

/// The largest subtrees that the parts [first, end) fill.
inline std::vector<subtree> subtrees_of(std::size_t first, std::size_t end) {
  std::vector<subtree> list;
  for (; first < end; ++first) {
    subtree next{first, 1};
    while (!list.empty() && list.back().is_left_of(next)) {
      next = {list.back().first, 2 * next.size};
      list.pop_back();
    }
    list.push_back(next);
  }
  return list;
}

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

}  // namespace detail

/// Adds up the gradients of the parts of steps.
template <class T>
class gradient_sum {
 public:
  /// The gradients of `model`, which must stay in place, are those of each part in turn.
  template <class Model>
  explicit gradient_sum(Model& model, executor_ref ex = {}) : ex_(ex) {
    model.for_each_parameter([&](auto& p) {
      if (matrix_view<T>(p.grad).size() == p.view().size()) gradients_.add(p.grad);
    });
  }

  /// A step begins; the gradients are zero.
  void begin(const step_deal& deal) {
    deal_ = deal;
    next_ = deal.first_part(deal.rank);
    while (!waiting_.empty()) release();
  }
  /// The gradients are those of this rank's next part. They are zeroed where another part follows.
  void part_done() {
    current_ = {next_++, 1};
    while (!waiting_.empty() && waiting_.back().tree.is_left_of(current_)) add_waiting();
    if (next_ == deal_.first_part(deal_.rank + 1)) return;
    keep();
    for_chunks([&](std::size_t first, std::size_t n) {
      gradients_.visit(first, n, [](row_view<T> g, std::size_t) {
        for (std::size_t i = 0; i < g.size; ++i) g[i] = T(0);
      });
    });
  }
  /// Replaces the gradients of every rank by the sum over all parts.
  void finish(reducer& ranks) {
    if (ranks.ranks() == 1) {
      while (!waiting_.empty()) add_waiting();
      return;
    }
    if (deal_.begin() < deal_.end()) keep();
    constexpr std::size_t bucket = std::size_t{1} << 20;  // elements
    for (std::size_t first = 0; first < gradients_.size(); first += bucket)
      sum_bucket(ranks, first, std::min(bucket, gradients_.size() - first));
  }

 private:
  struct kept {
    detail::subtree tree;
    std::vector<T> values;
  };

  template <class F>
  void for_chunks(F&& f) {
    ex_.parallel_for(gradients_.size(), std::size_t{1} << 16,
                     [&](std::size_t begin, std::size_t end) { f(begin, end - begin); });
  }

  /// Keeps the gradients as those of `current_`.
  void keep() {
    std::vector<T> values;
    if (!spare_.empty()) {
      values = std::move(spare_.back());
      spare_.pop_back();
    }
    values.resize(gradients_.size());
    for_chunks([&](std::size_t first, std::size_t n) {
      gradients_.visit(first, n, [&](row_view<T> g, std::size_t at) {
        for (std::size_t i = 0; i < g.size; ++i) values[first + at + i] = g[i];
      });
    });
    waiting_.push_back({current_, std::move(values)});
  }

  /// Adds the last gradients that were kept to the present ones.
  void add_waiting() {
    const kept& left = waiting_.back();
    for_chunks([&](std::size_t first, std::size_t n) {
      gradients_.visit(first, n, [&](row_view<T> g, std::size_t at) {
        for (std::size_t i = 0; i < g.size; ++i) g[i] = left.values[first + at + i] + g[i];
      });
    });
    current_ = {left.tree.first, 2 * current_.size};
    release();
  }

  void release() {
    spare_.push_back(std::move(waiting_.back().values));
    waiting_.pop_back();
  }

  /// Sums elements [first, first + n) over all ranks. Each rank adds up an equal range of them.
  void sum_bucket(reducer& ranks, std::size_t first, std::size_t n) {
    const std::size_t count = ranks.ranks();
    const auto begin_of = [&](std::size_t r) { return n * r / count; };
    const std::size_t mine = begin_of(ranks.rank() + 1) - begin_of(ranks.rank());
    std::vector<std::size_t> out_sizes(count), in_sizes(count), result_sizes(count);
    std::vector<detail::subtree> trees;
    out_.clear();
    for (std::size_t r = 0; r < count; ++r) {
      const std::size_t begin = first + begin_of(r), size = begin_of(r + 1) - begin_of(r);
      for (const kept& k : waiting_) {
        const auto from = k.values.begin() + static_cast<std::ptrdiff_t>(begin);
        out_.insert(out_.end(), from, from + static_cast<std::ptrdiff_t>(size));
      }
      const auto theirs = detail::subtrees_of(deal_.first_part(r), deal_.first_part(r + 1));
      trees.insert(trees.end(), theirs.begin(), theirs.end());
      out_sizes[r] = waiting_.size() * size * sizeof(T);
      in_sizes[r] = theirs.size() * mine * sizeof(T);
      result_sizes[r] = size * sizeof(T);
    }
    in_.resize(trees.size() * mine);
    ranks.exchange(std::as_bytes(std::span(out_)), out_sizes,
                   std::as_writable_bytes(std::span(in_)), in_sizes);
    result_.resize(n);
    sum_trees(trees, mine, result_.data() + begin_of(ranks.rank()));
    ranks.gather(std::as_writable_bytes(std::span(result_)), result_sizes);
    gradients_.visit(first, n, [&](row_view<T> g, std::size_t at) {
      for (std::size_t i = 0; i < g.size; ++i) g[i] = result_[at + i];
    });
  }

  /// Adds up the rows of `in_`, (trees, n), along the tree.
  void sum_trees(std::span<const detail::subtree> trees, std::size_t n, T* result) {
    std::vector<std::pair<detail::subtree, T*>> open;
    const auto add_last = [&] {
      const auto right = open.back();
      open.pop_back();
      T* left = open.back().second;
      for (std::size_t i = 0; i < n; ++i) left[i] = left[i] + right.second[i];
      open.back().first.size *= 2;
    };
    for (std::size_t k = 0; k < trees.size(); ++k) {
      open.emplace_back(trees[k], in_.data() + k * n);
      while (open.size() > 1 && open[open.size() - 2].first.is_left_of(open.back().first))
        add_last();
    }
    while (open.size() > 1) add_last();
    std::copy_n(open.front().second, n, result);
  }

  executor_ref ex_;
  detail::flat_view<T> gradients_;
  step_deal deal_;
  std::size_t next_ = 0;
  detail::subtree current_;
  std::vector<kept> waiting_;
  std::vector<std::vector<T>> spare_;
  std::vector<T> out_, in_, result_;
};

}  // namespace tern::inline TERN_ABI
