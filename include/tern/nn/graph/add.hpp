// Sums of variables, such as residual connections.
#pragma once

#include "tern/core/simd.hpp"
#include "tern/grad/tape.hpp"

namespace tern::inline TERN_ABI::graph {

/// to += from, for any two matrices of the same shape.
template <class T>
void accumulate(matrix_view<const T> from, matrix_view<T> to, executor_ref ex) {
  for_each_row(to.rows, to.cols, ex,
               [&](std::size_t r) { simd::axpy<T>(T(1), from.row(r), to.row(r)); });
}

/// y = a + b
template <class T>
variable<T> add(tape<T>& t, variable<T> a, variable<T> b) {
  variable<T> y = t.make(a.rows(), a.cols());
  const executor_ref ex = t.executor();
  for_each_row(y.rows(), y.cols(), ex, [&](std::size_t r) {
    simd::transform(
        y.value.row(r), [](const auto& u, const auto& v) { return u + v; },
        row_view<const T>(a.value.row(r)), row_view<const T>(b.value.row(r)));
  });
  t.record([=] {
    if (a.grad) accumulate<T>(y.grad, a.grad, ex);
    if (b.grad) accumulate<T>(y.grad, b.grad, ex);
  });
  return y;
}

/// Returns x + branch(x). On a tape that does not record, the sum overwrites x and the memory that
/// the branch took is released, so a model of many layers needs no more memory than one of them. A
/// branch that returns x itself has already added its result to it.
template <class T, class F>
variable<T> residual(tape<T>& t, variable<T> x, F&& branch) {
  if (t.recording()) return add(t, x, branch(x));
  const arena_scope temporaries(t.memory());
  const variable<T> y = branch(x);
  if (y.value.data != x.value.data) accumulate<T>(y.value, x.value, t.executor());
  return x;
}

}  // namespace tern::inline TERN_ABI::graph
