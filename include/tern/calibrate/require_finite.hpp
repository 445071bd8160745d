// The check of matrices that calibration is given: one NaN would spread over all results.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "tern/core/error.hpp"
#include "tern/core/is_finite.hpp"
#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// Throws numeric_error, which names `what` and the first such element, where a value is NaN or
/// infinite.
template <class T>
void require_finite(matrix_view<const T> m, std::string_view what) {
  for (std::size_t r = 0; r < m.rows; ++r)
    for (std::size_t c = 0; c < m.cols; ++c)
      if (!is_finite(m(r, c)))
        throw numeric_error(std::string(what) + ": the value in row " + std::to_string(r) +
                            ", column " + std::to_string(c) + " is not finite");
}

}  // namespace tern::inline TERN_ABI
