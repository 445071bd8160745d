// What the ops on a tape share: views of vectors that variables hold.
#pragma once

#include "tern/grad/tape.hpp"

namespace tern::inline TERN_ABI::graph {

/// Row of a 1 x n variable, null where the view is null.
template <class T>
row_view<T> vector_of(matrix_view<T> m) {
  return m ? m.row(0) : row_view<T>{};
}

/// What a norm multiplies by: offset + gain.
template <class T>
row_view<const T> norm_factors(tape<T>& t, variable<T> gain, double offset) {
  if (offset == 0) return vector_of(gain.value);
  const row_view<T> factors(t.memory().template allocate<T>(gain.cols()), gain.cols());
  for (std::size_t i = 0; i < factors.size; ++i)
    factors[i] = static_cast<T>(offset) + gain.value(0, i);
  return factors;
}

}  // namespace tern::inline TERN_ABI::graph
