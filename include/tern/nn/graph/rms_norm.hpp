// The op `rms_norm` on a tape.
#pragma once

#include "tern/grad/tape.hpp"
#include "tern/nn/graph/operands.hpp"
#include "tern/nn/rms_norm.hpp"

namespace tern::inline TERN_ABI::graph {

/// RMSNorm over each group of `gain.cols()` elements of a row, so a row of x may hold several
/// heads. The normalised elements are multiplied by offset + gain (Gemma: 1 + gain).
template <class T>
variable<T> rms_norm(tape<T>& t, variable<T> x, variable<T> gain, double eps, double offset = 0) {
  const auto per_group = [&](matrix_view<T> m) {
    return m ? matrix_view<T>(m.data, m.size() / gain.cols(), gain.cols()) : m;
  };
  variable<T> y = t.make(x.rows(), x.cols());
  const variable<T> in{per_group(x.value), per_group(x.grad)};
  const variable<T> out{per_group(y.value), per_group(y.grad)};
  const row_view<T> inv_rms(t.memory().template allocate<T>(in.rows()), in.rows());
  const row_view<const T> factors = norm_factors(t, gain, offset);
  tern::rms_norm<T>::forward(in.value, factors, static_cast<T>(eps), out.value, inv_rms,
                             t.executor());
  t.record([=, ex = t.executor()] {
    tern::rms_norm<T>::backward(out.grad, in.value, factors, inv_rms, in.grad, vector_of(gain.grad),
                                ex);
  });
  return y;
}

}  // namespace tern::inline TERN_ABI::graph
