// The sum of the gradients of a step's parts. It is taken in a binary tree over the numbers of the
// parts, so it has the same bits for any number of ranks:
//
//   part   0   1   2   3   4
//          └ + ┘   └ + ┘   |
//            └── + ──┘     |
//                └─── + ───┘
//
// A rank adds up the whole subtrees of its own parts. Then each rank gets from all others what they
// have for the rows that it owns, and adds these up along the rest of the tree. Where gradients
// have the format bf16, those of each part and each sum of the tree are rounded to it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "tern/core/enum_names.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/reducer.hpp"
#include "tern/core/tensor.hpp"
#include "tern/quant/half.hpp"
#include "tern/train/flat_view.hpp"
#include "tern/train/row_shard.hpp"
#include "tern/train/step_deal.hpp"

namespace tern::inline TERN_ABI {

/// How the gradients of the parts of a step are added up and sent.
enum class gradient_format {
  real,  ///< gradients keep the type of the model's elements
  bf16,  ///< gradients are rounded to bfloat16, which takes half of the bytes of floats
};
/// The names of gradient_format in recipes.
inline constexpr enum_names<gradient_format> gradient_format_names{{"float", gradient_format::real},
                                                                   {"bf16", gradient_format::bf16}};

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

}  // namespace detail

/// The most sums of parts that this rank keeps at a time beside the gradients, in a step of the
/// deal.
inline std::size_t sums_kept(const step_deal& deal) {
  const std::size_t first = deal.first_part(deal.rank), end = deal.first_part(deal.rank + 1);
  std::size_t most = 0;  // after each part that is not the last one, those of all parts before
  for (std::size_t next = first + 1; next < end; ++next)
    most = std::max(most, detail::subtrees_of(first, next).size());
  return most;
}

/// Adds up the gradients of the parts of steps.
template <class T>
class gradient_sum {
 public:
  /// The gradients of `model`, which must stay in place, are those of each part in turn.
  template <class Model>
  explicit gradient_sum(Model& model, executor_ref ex = {},
                        gradient_format format = gradient_format::real)
      : ex_(ex), rounds_(format == gradient_format::bf16) {
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
    if (rounds_)
      for_chunks([&](std::size_t first, std::size_t n) {
        gradients_.visit(first, n, [](row_view<T> g, std::size_t) {
          for (std::size_t i = 0; i < g.size; ++i) g[i] = rounded(g[i]);
        });
      });
    while (!waiting_.empty() && waiting_.back().tree.is_left_of(current_)) add_waiting();
    if (next_ == deal_.first_part(deal_.rank + 1)) return;
    keep();
    zero({0, gradients_.size()});
  }
  /// Replaces the gradients of the rows that this rank owns by their sum over all parts, and those
  /// of all other rows by zeros. `shard` is that of the parameters that have gradients.
  void finish(reducer& ranks, const row_shard& shard) {
    if (ranks.ranks() == 1) {
      while (!waiting_.empty()) add_waiting();
      return;
    }
    shard.for_each_piece([&](std::span<const element_range> parts) { sum_piece(ranks, parts); });
    const auto [first, count] = shard.elements(ranks.rank());
    zero({0, first});
    zero({first + count, gradients_.size() - first - count});
  }

 private:
  struct kept {
    detail::subtree tree;
    std::vector<T> values;
  };

  static constexpr std::size_t chunk = std::size_t{1} << 16;  // elements that are worth a thread

  /// The nearest number of bfloat16.
  static T rounded(T x) { return static_cast<T>(from_bf16(to_bf16(static_cast<float>(x)))); }
  [[nodiscard]] T sum_of(T a, T b) const { return rounds_ ? rounded(a + b) : a + b; }

  template <class F>
  void for_chunks(F&& f) {
    ex_.parallel_for(gradients_.size(), chunk,
                     [&](std::size_t begin, std::size_t end) { f(begin, end - begin); });
  }

  void zero(element_range e) {
    ex_.parallel_for(e.count, chunk, [&](std::size_t begin, std::size_t end) {
      gradients_.visit(e.first + begin, end - begin, [](row_view<T> g, std::size_t) {
        for (std::size_t i = 0; i < g.size; ++i) g[i] = T(0);
      });
    });
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
        for (std::size_t i = 0; i < g.size; ++i) g[i] = sum_of(left.values[first + at + i], g[i]);
      });
    });
    current_ = {left.tree.first, 2 * current_.size};
    release();
  }

  void release() {
    spare_.push_back(std::move(waiting_.back().values));
    waiting_.pop_back();
  }

  /// Sums this rank's part of the gradients, parts[rank], over all ranks.
  void sum_piece(reducer& ranks, std::span<const element_range> parts) {
    const std::size_t count = ranks.ranks();
    const element_range own = parts[ranks.rank()];
    const bool has_parts = deal_.begin() < deal_.end();
    std::vector<std::size_t> out_sizes(count), in_sizes(count);
    std::vector<detail::subtree> trees;
    out_.clear();
    for (std::size_t r = 0; r < count; ++r) {
      const auto [first, size] = parts[r];
      const std::size_t begin = out_.size();
      for (const kept& k : waiting_) {
        const auto from = k.values.begin() + static_cast<std::ptrdiff_t>(first);
        out_.insert(out_.end(), from, from + static_cast<std::ptrdiff_t>(size));
      }
      if (has_parts) {  // The gradients are those of the last subtree.
        const std::size_t last = out_.size();
        out_.resize(last + size);
        gradients_.visit(first, size, [&](row_view<T> g, std::size_t at) {
          for (std::size_t i = 0; i < g.size; ++i) out_[last + at + i] = g[i];
        });
      }
      const auto theirs = detail::subtrees_of(deal_.first_part(r), deal_.first_part(r + 1));
      trees.insert(trees.end(), theirs.begin(), theirs.end());
      out_sizes[r] = (out_.size() - begin) * element_bytes();
      in_sizes[r] = theirs.size() * own.count * element_bytes();
    }
    in_.resize(trees.size() * own.count);
    exchange(ranks, out_sizes, in_sizes);
    if (own.count == 0) return;
    const T* sum = sum_trees(trees, own.count);
    gradients_.visit(own.first, own.count, [&](row_view<T> g, std::size_t at) {
      for (std::size_t i = 0; i < g.size; ++i) g[i] = sum[at + i];
    });
  }

  /// Bytes of an element on its way to another rank.
  [[nodiscard]] std::size_t element_bytes() const {
    return rounds_ ? sizeof(std::uint16_t) : sizeof(T);
  }

  /// Sends `out_`, and gets `in_`. Where numbers are rounded already, bfloat16 holds them exactly.
  void exchange(reducer& ranks, std::span<const std::size_t> out_sizes,
                std::span<const std::size_t> in_sizes) {
    if (!rounds_)
      return ranks.exchange(std::as_bytes(std::span(out_)), out_sizes,
                            std::as_writable_bytes(std::span(in_)), in_sizes);
    out_bf16_.resize(out_.size());
    in_bf16_.resize(in_.size());
    std::ranges::transform(out_, out_bf16_.begin(),
                           [](T x) { return to_bf16(static_cast<float>(x)); });
    ranks.exchange(std::as_bytes(std::span(out_bf16_)), out_sizes,
                   std::as_writable_bytes(std::span(in_bf16_)), in_sizes);
    std::ranges::transform(in_bf16_, in_.begin(),
                           [](std::uint16_t x) { return static_cast<T>(from_bf16(x)); });
  }

  /// Adds up the rows of `in_`, (trees, n), along the tree, and returns the sum.
  const T* sum_trees(std::span<const detail::subtree> trees, std::size_t n) {
    std::vector<std::pair<detail::subtree, T*>> open;
    const auto add_last = [&] {
      const auto right = open.back();
      open.pop_back();
      T* left = open.back().second;
      for (std::size_t i = 0; i < n; ++i) left[i] = sum_of(left[i], right.second[i]);
      open.back().first.size *= 2;
    };
    for (std::size_t k = 0; k < trees.size(); ++k) {
      open.emplace_back(trees[k], in_.data() + k * n);
      while (open.size() > 1 && open[open.size() - 2].first.is_left_of(open.back().first))
        add_last();
    }
    while (open.size() > 1) add_last();
    return open.front().second;
  }

  executor_ref ex_;
  bool rounds_;
  detail::flat_view<T> gradients_;
  step_deal deal_;
  std::size_t next_ = 0;
  detail::subtree current_;
  std::vector<kept> waiting_;
  std::vector<std::vector<T>> spare_;
  std::vector<T> out_, in_;
  std::vector<std::uint16_t> out_bf16_, in_bf16_;
};

}  // namespace tern::inline TERN_ABI
