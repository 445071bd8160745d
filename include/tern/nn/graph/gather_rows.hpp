// An op on a tape that takes chosen rows of a variable.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>

#include "tern/core/error.hpp"
#include "tern/core/simd.hpp"
#include "tern/grad/tape.hpp"

namespace tern::inline TERN_ABI::graph {

/// y[i] = x[rows[i]]. `rows` must outlive the step. Throws config_error for an index outside of x.
template <class T>
variable<T> gather_rows(tape<T>& t, variable<T> x, std::span<const std::size_t> rows) {
  for (const std::size_t row : rows)
    if (row >= x.rows())
      throw config_error("gather_rows: row " + std::to_string(row) + " of " +
                         std::to_string(x.rows()));
  variable<T> y = t.make(rows.size(), x.cols());
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::copy_n(x.value.row(rows[i]).data, x.cols(), y.value.row(i).data);
  t.record([=] {
    for (std::size_t i = 0; x.grad && i < rows.size(); ++i)
      simd::axpy<T>(T(1), y.grad.row(i), x.grad.row(rows[i]));
  });
  return y;
}

}  // namespace tern::inline TERN_ABI::graph
