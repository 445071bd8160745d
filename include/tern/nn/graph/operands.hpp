// Views of the vectors that variables hold, for the ops on a tape.
#pragma once

#include "tern/grad/tape.hpp"

namespace tern::inline TERN_ABI::graph {

/// The row of a 1 x n matrix, or a null view for a null matrix.
template <class T>
row_view<T> vector_of(matrix_view<T> m) {
  return m ? m.row(0) : row_view<T>{};
}

/// The factors offset + gain of a norm.
template <class T>
row_view<const T> norm_factors(tape<T>& t, variable<T> gain, double offset) {
  if (offset == 0) return vector_of(gain.value);
  const row_view<T> factors(t.memory().template allocate<T>(gain.cols()), gain.cols());
  for (std::size_t i = 0; i < factors.size; ++i)
    factors[i] = static_cast<T>(offset) + gain.value(0, i);
  return factors;
}

}  // namespace tern::inline TERN_ABI::graph
