// A trainable matrix with its name and gradient, and the projections made of them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "tern/core/random.hpp"
#include "tern/core/tensor.hpp"
#include "tern/grad/tape.hpp"
#include "tern/pack/ternary_weights.hpp"
#include "tern/pack/two_bit.hpp"

namespace tern::inline TERN_ABI {

/// One trainable matrix; a vector (a gain, a bias) is a matrix of one row. The gradient exists
/// only while training: see decoder::train().
template <matrix_owner Owner>
struct parameter {
  using scalar = scalar_of<Owner>;

  std::string name;  ///< as in a Hugging Face checkpoint, "model.layers.0.mlp.up_proj.weight"
  Owner value = tensor_traits<Owner>::make(0, 0);
  Owner grad = tensor_traits<Owner>::make(0, 0);

  parameter() = default;
  parameter(std::string name_, std::size_t rows, std::size_t cols)
      : name(std::move(name_)), value(tensor_traits<Owner>::make(rows, cols)) {}

  [[nodiscard]] matrix_view<scalar> view() { return value; }
  [[nodiscard]] matrix_view<const scalar> view() const { return value; }
  [[nodiscard]] bool is_vector() const { return view().rows == 1; }

  /// As a node of the graph; without a gradient where there is none.
  [[nodiscard]] tern::variable<scalar> variable() {
    const matrix_view<scalar> g = grad;
    return {view(), g.size() == view().size() ? g : matrix_view<scalar>{}};
  }

  void fill(scalar x) {
    const matrix_view<scalar> v = value;
    for (std::size_t r = 0; r < v.rows; ++r)
      for (std::size_t c = 0; c < v.cols; ++c) v(r, c) = x;
  }

  void fill_normal(double deviation, philox random) {
    const matrix_view<scalar> v = value;
    for (std::size_t r = 0; r < v.rows; ++r)
      for (std::size_t c = 0; c < v.cols; ++c)
        v(r, c) = static_cast<scalar>(deviation * random.normal());
  }
};

/// y = x W^T + b, in full precision or ternary, with an optional norm before it (SubLN). A packed
/// projection serves inference only: its `weight` keeps the name and an empty value.
template <matrix_owner Owner>
struct projection {
  parameter<Owner> weight;                     ///< (out, in)
  std::optional<parameter<Owner>> bias, norm;  ///< (1, out), (1, in)
  bool ternary = false;
  /// Ternary weights as deployed: nothing else is left of them.
  std::optional<ternary_weights<two_bit, scalar_of<Owner>>> packed;
};

}  // namespace tern::inline TERN_ABI
