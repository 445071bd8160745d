// Moves moments between rank 0, which reads and writes saved states, and the ranks that own their
// rows. Rank 0 never holds more than some rows of the others.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "tern/core/reducer.hpp"
#include "tern/core/tensor.hpp"
#include "tern/train/row_shard.hpp"
#include "tern/train/trainer.hpp"

namespace tern::inline TERN_ABI {

/// One matrix that an optimizer stores: a moment as it is, or its codes or scales.
struct moment_place {
  std::size_t parameter = 0;  ///< number of the parameter, in the order of the model
  std::size_t moment = 0;     ///< number of the moment of this parameter
  std::size_t matrix = 0;     ///< number of the matrix of this moment
};

namespace detail {

/// What rank 0 asks the others for: to give it some rows, to take them, or to go on.
struct moment_request {
  enum { go_on, give, take } task = go_on;
  moment_place place;
  std::size_t first = 0;  // the first of the rows
};

/// Of a matrix with `rows` rows, how many are moved at once from row `first` on: about 4 MB.
template <class U>
std::size_t rows_at_once(std::size_t rows, std::size_t cols, std::size_t first) {
  constexpr std::size_t most = std::size_t{1} << 22;  // bytes
  return std::min(rows - first,
                  std::max<std::size_t>(1, most / std::max<std::size_t>(1, cols * sizeof(U))));
}

/// Calls f(place, suffix, matrix) for all matrices of the moments of a parameter.
template <class Owner, class F>
void for_each_moment_matrix(std::vector<moment<Owner>>& moments, std::size_t parameter, F&& f) {
  for (std::size_t i = 0; i < moments.size(); ++i) {
    std::size_t k = 0;
    moments[i].for_each_matrix([&](const char* suffix, auto m) {
      f(moment_place{parameter, i, k++}, suffix, m);
    });
  }
}

/// Moves the rows of a request between their owners, who have them in `own`, and `rows` of rank 0.
/// Rank 0 sends the request when it has all the memory that it needs.
template <class U>
void move_moment(reducer& ranks, const row_shard& shard, moment_request request, matrix_view<U> own,
                 std::span<U> rows) {
  const std::size_t n = shard.ranks(), self = ranks.rank(), index = request.place.parameter,
                    count = rows_at_once<U>(shard.shape(index).rows, own.cols, request.first);
  const auto rows_of = [&](std::size_t r) {
    const auto [first, owned] = shard.rows(index, r);
    const std::size_t end = request.first + count, from = std::clamp(first, request.first, end);
    return row_range{from, std::clamp(first + owned, from, end) - from};
  };
  std::vector<std::size_t> none(n), all(n), mine(n);
  for (std::size_t r = 0; r < n; ++r) all[r] = rows_of(r).count * own.cols * sizeof(U);
  mine[0] = all[self];
  const row_range part = rows_of(self);
  const std::size_t before = part.count == 0 ? 0 : part.first - shard.rows(index, self).first;
  std::vector<U> buffer(part.count * own.cols);
  const matrix_view<U> dense(buffer.data(), part.count, own.cols);
  const std::span<const std::size_t> whole = self == 0 ? all : none;
  if (self == 0) ranks.broadcast(std::as_writable_bytes(std::span(&request, 1)));
  if (request.task == moment_request::give) {
    for (std::size_t r = 0; r < part.count; ++r)
      for (std::size_t c = 0; c < own.cols; ++c) dense(r, c) = own(before + r, c);
    ranks.exchange(std::as_bytes(std::span(buffer)), mine, std::as_writable_bytes(rows), whole);
  } else {
    ranks.exchange(std::as_bytes(rows), whole, std::as_writable_bytes(std::span(buffer)), mine);
    for (std::size_t r = 0; r < part.count; ++r)
      for (std::size_t c = 0; c < own.cols; ++c) own(before + r, c) = dense(r, c);
  }
}

/// Calls f(first row, room for the rows) for pieces of a parameter's matrix with columns of type U.
template <class U, class F>
void for_each_moment_piece(const row_shard& shard, std::size_t parameter, std::size_t cols, F&& f) {
  const std::size_t total = shard.shape(parameter).rows;
  std::vector<U> rows;
  for (std::size_t first = 0; first < total;) {
    const std::size_t count = rows_at_once<U>(total, cols, first);
    rows.resize(count * cols);
    f(first, std::span(rows));
    first += count;
  }
}

}  // namespace detail

/// On rank 0: calls f(rows), a std::span<const U>, for all rows of a matrix in turn. `own` has
/// those of rank 0. Where f throws, no rank is left waiting for another one.
template <class Model, class U, class F>
void gather_moment(trainer<Model>& t, const moment_place& place, matrix_view<U> own, F&& f) {
  const row_shard& shard = t.optimizer().shard();
  detail::for_each_moment_piece<
      U>(shard, place.parameter, own.cols, [&](std::size_t first, std::span<U> rows) {
    detail::move_moment(t.ranks(), shard, {detail::moment_request::give, place, first}, own, rows);
    f(std::span<const U>(rows));
  });
}

/// On rank 0: calls f(first, elements) to get all elements of a matrix in turn, from number `first`
/// on, and sends rows to their owners. Where f throws, no rank is left waiting for another one.
template <class Model, class U, class F>
void scatter_moment(trainer<Model>& t, const moment_place& place, matrix_view<U> own, F&& f) {
  const row_shard& shard = t.optimizer().shard();
  detail::for_each_moment_piece<
      U>(shard, place.parameter, own.cols, [&](std::size_t first, std::span<U> rows) {
    f(first * own.cols, rows);
    detail::move_moment(t.ranks(), shard, {detail::moment_request::take, place, first}, own, rows);
  });
}

/// On other ranks than rank 0: does what rank 0 asks for, until it calls end_moments().
template <class Model>
void serve_moments(trainer<Model>& t) {
  for (;;) {
    detail::moment_request request;
    t.ranks().broadcast(std::as_writable_bytes(std::span(&request, 1)));
    if (request.task == detail::moment_request::go_on) return;
    const moment_place& place = request.place;
    std::size_t k = 0;
    t.optimizer().moments()[place.parameter][place.moment].for_each_matrix(
        [&]<class U>(const char*, matrix_view<U> own) {
          if (k++ == place.matrix)
            detail::move_moment(t.ranks(), t.optimizer().shard(), request, own, std::span<U>());
        });
  }
}

/// On rank 0: lets the ranks go on that serve moments.
template <class Model>
void end_moments(trainer<Model>& t) {
  detail::moment_request request;
  t.ranks().broadcast(std::as_writable_bytes(std::span(&request, 1)));
}

}  // namespace tern::inline TERN_ABI
