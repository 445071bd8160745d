// What ranks agree on. A rank that fails tells the others at the next place where all ranks meet,
// so that every rank throws the same error and none waits for another one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <exception>
#include <new>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/reducer.hpp"
#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// A rank failed. Every rank throws this error with the same message, which names that rank.
struct rank_error : error {
  using error::error;
};

/// The values of every rank, whose numbers may differ, in the order of the ranks.
template <class T>
std::vector<std::vector<T>> gather_all(reducer& ranks, std::span<const T> mine) {
  static_assert(std::is_trivially_copyable_v<T>);
  const std::size_t n = ranks.ranks(), self = ranks.rank();
  std::vector<std::size_t> sizes(n), bytes(n, sizeof(std::size_t));
  sizes[self] = mine.size();
  ranks.gather(std::as_writable_bytes(std::span(sizes)), bytes);
  std::size_t total = 0, before = 0;
  for (std::size_t r = 0; r < n; ++r) {
    if (r == self) before = total;
    total += sizes[r];
    bytes[r] = sizes[r] * sizeof(T);
  }
  std::vector<T> flat(total);
  std::copy(mine.begin(), mine.end(), flat.begin() + static_cast<std::ptrdiff_t>(before));
  if (total > 0) ranks.gather(std::as_writable_bytes(std::span(flat)), bytes);
  std::vector<std::vector<T>> all;
  auto at = flat.begin();
  for (const std::size_t size : sizes) {
    const auto end = at + static_cast<std::ptrdiff_t>(size);
    all.emplace_back(at, end);
    at = end;
  }
  return all;
}

/// Every rank gets the rows of all others: rank r has rows [first[r], first[r + 1]) of m.
template <class T>
void gather_rows(reducer& ranks, matrix_view<T> m, std::span<const std::size_t> first) {
  if (ranks.ranks() == 1) return;
  std::vector<std::size_t> bytes(ranks.ranks());
  for (std::size_t r = 0; r < bytes.size(); ++r)
    bytes[r] = (first[r + 1] - first[r]) * m.cols * sizeof(T);
  std::vector<T> all(m.size());
  const matrix_view<T> dense(all.data(), m.rows, m.cols);
  for (std::size_t r = first[ranks.rank()]; r < first[ranks.rank() + 1]; ++r)
    for (std::size_t c = 0; c < m.cols; ++c) dense(r, c) = m(r, c);
  ranks.gather(std::as_writable_bytes(std::span(all)), bytes);
  for (std::size_t r = 0; r < m.rows; ++r)
    for (std::size_t c = 0; c < m.cols; ++c) m(r, c) = dense(r, c);
}

/// The texts of every rank, in the order of the ranks.
inline std::vector<std::string> gather_texts(reducer& ranks, std::span<const std::string> mine) {
  std::vector<std::size_t> sizes;
  std::string flat;
  for (const std::string& text : mine) {
    sizes.push_back(text.size());
    flat += text;
  }
  const auto all_sizes = gather_all<std::size_t>(ranks, sizes);
  const auto all = gather_all<char>(ranks, flat);
  std::vector<std::string> texts;
  for (std::size_t r = 0; r < all.size(); ++r) {
    auto at = all[r].begin();
    for (const std::size_t size : all_sizes[r]) {
      texts.emplace_back(at, at + static_cast<std::ptrdiff_t>(size));
      at += static_cast<std::ptrdiff_t>(size);
    }
  }
  return texts;
}

/// Every rank gets the text of rank 0.
inline void broadcast_text(reducer& ranks, std::string& text) {
  std::size_t size = text.size();
  ranks.broadcast(std::as_writable_bytes(std::span(&size, 1)));
  text.resize(size);
  if (size > 0) ranks.broadcast(std::as_writable_bytes(std::span(text)));
}

/// Whether `mine` is true on any rank.
inline bool any_rank(reducer& ranks, bool mine) {
  std::vector<char> all(ranks.ranks());
  all[ranks.rank()] = mine ? 1 : 0;
  ranks.gather(std::as_writable_bytes(std::span(all)), std::vector<std::size_t>(all.size(), 1));
  return std::ranges::count(all, 0) != static_cast<std::ptrdiff_t>(all.size());
}

/// Calls f() on every rank. It must not use the reducer, unless the others do their part of that
/// whether it throws or not. Where it throws on one, every rank throws rank_error about the first
/// rank that failed; a run of one rank throws what f() threw.
template <class F>
void together(reducer& ranks, F&& f) {
  if (ranks.ranks() == 1) return std::forward<F>(f)();
  std::string problem;
  try {
    std::forward<F>(f)();
  } catch (const std::bad_alloc&) {
    problem = "there is not enough memory";
  } catch (const std::exception& e) {
    problem = e.what();
    if (problem.empty()) problem = "unknown error";
  }
  if (!problem.empty()) problem = ranks.name() + ": " + problem;
  for (const auto& text : gather_all<char>(ranks, problem))
    if (!text.empty()) throw rank_error(std::string(text.begin(), text.end()));
}

/// Throws rank_error, on every rank, where a rank's `text` is not that of rank 0. `what` says what
/// the text stands for, such as "data".
inline void require_same(reducer& ranks, const std::string& what, const std::string& text) {
  if (ranks.ranks() == 1) return;
  std::string first = text, leader = ranks.name();
  broadcast_text(ranks, first);
  broadcast_text(ranks, leader);
  together(ranks, [&] {
    if (text != first) throw config_error("its " + what + " differ from those of " + leader);
  });
}

}  // namespace tern::inline TERN_ABI
