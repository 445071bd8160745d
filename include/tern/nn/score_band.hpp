// Scores between the tokens of a sequence, computed for a tile of rows at a time, so that no T x T
// matrix is stored. Attention and the distillation of attention relations share this code. It is
// the only place that knows the mask.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

#include "tern/core/arena.hpp"
#include "tern/core/tensor.hpp"
#include "tern/linalg/gemm.hpp"

namespace tern::inline TERN_ABI {

/// Rows [first, first + rows) of a matrix of scores, and the columns [begin, begin + cols) that
/// these rows see.
struct score_band {
  static constexpr std::size_t most_rows = 64;  ///< largest number of rows of a band

  std::size_t first, rows, begin, cols, window;  ///< `window` as it was given
  bool causal;                                   ///< whether rows see no later column

  /// A causal row sees the last `window` columns up to its own; 0 means all of them.
  score_band(std::size_t first_row, std::size_t length, bool causal_, std::size_t window_ = 0)
      : first(first_row),
        rows(std::min(most_rows, length - first_row)),
        begin(window_ != 0 && first_row + 1 > window_ ? first_row + 1 - window_ : 0),
        cols((causal_ ? first_row + rows : length) - begin),
        window(window_),
        causal(causal_) {}
  /// Row i of the band sees the columns [begin + hidden(i), begin + visible(i)).
  [[nodiscard]] std::size_t hidden(std::size_t i) const {
    return window != 0 && first + i + 1 > begin + window ? first + i + 1 - begin - window : 0;
  }
  [[nodiscard]] std::size_t visible(std::size_t i) const {
    return causal ? first + i + 1 - begin : cols;
  }

  /// Sets the elements of z that a row does not see to -infinity. Column 0 of z is column `begin`.
  template <class T>
  void mask(matrix_view<T> z) const {
    constexpr T unseen = -std::numeric_limits<T>::infinity();
    for (std::size_t i = 0; i < rows; ++i) {
      T* row = z.row(i).data;
      std::fill(row, row + hidden(i), unseen);
      std::fill(row + visible(i), row + z.cols, unseen);
    }
  }

  /// z = factor * a b^T with the mask applied. a: (rows, D), b: (length, D).
  template <class T>
  void score(T factor, matrix_view<const T> a, matrix_view<const T> b, matrix_view<T> z,
             precision p = precision::exact) const {
    detail::gemm_block<T>(factor, a, b.row_block(begin, cols).transposed(), z.col_block(0, cols),
                          false, p);
    mask(z);
  }
};

/// One tile of scores for each chunk of tasks. Rows are padded to whole vectors.
template <class T>
class score_tiles {
 public:
  /// Tiles for sequences of at most `longest` tokens. They are valid until `memory` is rewound.
  score_tiles(arena& memory, std::size_t chunks, std::size_t longest)
      : width_(padded(longest)),
        size_(std::min(score_band::most_rows, longest) * width_),
        data_(memory.template allocate<T>(chunks * size_)) {}

  /// The tile of a chunk, uninitialised, of (b.rows, b.cols rounded up to a multiple of 16).
  [[nodiscard]] matrix_view<T> tile(std::size_t chunk, const score_band& b) const {
    return {data_ + chunk * size_, b.rows, padded(b.cols), width_};
  }

 private:
  static std::size_t padded(std::size_t n) { return (n + 15) / 16 * 16; }

  std::size_t width_, size_;
  T* data_;
};

}  // namespace tern::inline TERN_ABI
