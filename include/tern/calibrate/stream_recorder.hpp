// The inputs of a layer's projections in the full-precision stream.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/core/simd.hpp"
#include "tern/grad/tape.hpp"

namespace tern::inline TERN_ABI {

/// The root mean square of each row.
template <class T>
std::vector<T> row_rms(matrix_view<const T> m) {
  std::vector<T> rms(m.rows);
  for (std::size_t r = 0; r < m.rows; ++r)
    rms[r] =
        std::sqrt(simd::dot(m.row(r), m.row(r)) / static_cast<T>(std::max<std::size_t>(m.cols, 1)));
  return rms;
}

/// The middle one of the numbers in order, the larger of two middle ones; 0 where there are none.
template <class T>
T median(std::vector<T> numbers) {
  if (numbers.empty()) return T(0);
  const auto middle = numbers.begin() + static_cast<std::ptrdiff_t>(numbers.size() / 2);
  std::ranges::nth_element(numbers, middle);
  return *middle;
}

/// Whether a projection, by its number in the order q, k, v, o, gate, up, down, has the input of
/// the one before it.
template <class Projection>
bool shares_input(std::size_t index, const Projection& p) {
  return (index == 1 || index == 2 || index == 5) && !p.norm;
}

/// A hook of decoder::layer_forward() that keeps copies of what projections get as input. Those
/// that share an input share its copy.
template <class T>
class stream_recorder {
 public:
  template <class Projection>
  static void before_norm(Projection&, variable<T>) {}  ///< Called by the layer; does nothing.

  /// Called by the layer: keeps x.
  template <class Projection>
  void before_product(Projection& p, variable<T> x) {
    if (!shares_input(input_of_.size(), p)) {
      matrix<T>& kept =
          inputs_.emplace_back(tensor_traits<matrix<T>>::make(x.value.rows, x.value.cols));
      copy_matrix<T>(x.value, kept);
    }
    input_of_.push_back(inputs_.size() - 1);
  }

  /// The input (tokens, in) of a projection, by its number in the order q, k, v, o, gate, up, down.
  [[nodiscard]] matrix_view<const T> of(std::size_t projection) const {
    return inputs_[input_of_[projection]];
  }
  /// The same, to be changed; projections that share the input see the change, too.
  [[nodiscard]] matrix_view<T> editable(std::size_t projection) {
    return inputs_[input_of_[projection]];
  }

 private:
  std::vector<matrix<T>> inputs_;
  std::vector<std::size_t> input_of_;
};

}  // namespace tern::inline TERN_ABI
