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
#include "tern/pack/shared_weights.hpp"
#include "tern/quant/quantizer.hpp"

namespace tern::inline TERN_ABI {

/// What a parameter is, for rules that treat kinds of parameters differently.
enum class parameter_kind {
  matrix,  ///< weight of a linear inside a layer
  table,   ///< embedding or head
  vector,  ///< gain of a norm, or a bias
  scales,  ///< scales of ternary weights
};

/// One trainable matrix; a vector (a gain, a bias) is a matrix of one row. The gradient exists
/// only while training: see decoder::train().
template <matrix_owner Owner>
struct parameter {
  using scalar = scalar_of<Owner>;  ///< type of an element

  parameter_kind kind = parameter_kind::matrix;  ///< what it is
  std::string name;  ///< name at Hugging Face: "model.layers.0.mlp.up_proj.weight"
  extents shape;     ///< known also without a value: before loading, or when packed
  Owner value = tensor_traits<Owner>::make(0, 0);  ///< matrix of `shape`, or empty
  Owner grad = tensor_traits<Owner>::make(0, 0);   ///< matrix of `shape`, or empty

  parameter() = default;
  /// A parameter of zeros, or one without a value yet. A row is a vector, anything else a matrix,
  /// unless `kind` is set to something else.
  parameter(std::string name_, std::size_t rows, std::size_t cols, bool allocated = true)
      : kind(rows == 1 ? parameter_kind::vector : parameter_kind::matrix),
        name(std::move(name_)),
        shape{rows, cols} {
    if (allocated) allocate();
  }

  /// Makes the value zeros of `shape`.
  void allocate() { value = tensor_traits<Owner>::make(shape.rows, shape.cols); }
  void release() { value = tensor_traits<Owner>::make(0, 0); }  ///< removes the value

  /// A view of the value.
  [[nodiscard]] matrix_view<scalar> view() { return value; }
  [[nodiscard]] matrix_view<const scalar> view() const { return value; }
  /// Whether it is a gain or a bias.
  [[nodiscard]] bool is_vector() const { return kind == parameter_kind::vector; }

  /// The parameter as a node of the graph, without a gradient where it has none.
  [[nodiscard]] tern::variable<scalar> variable() {
    const matrix_view<scalar> g = grad;
    return {view(), g.size() == view().size() ? g : matrix_view<scalar>{}};
  }

  /// Sets every element to x.
  void fill(scalar x) {
    const matrix_view<scalar> v = value;
    for (std::size_t r = 0; r < v.rows; ++r)
      for (std::size_t c = 0; c < v.cols; ++c) v(r, c) = x;
  }

  /// Draws elements, row after row, from a normal distribution with mean 0.
  void fill_normal(double deviation, philox random) {
    const matrix_view<scalar> v = value;
    for (std::size_t r = 0; r < v.rows; ++r)
      for (std::size_t c = 0; c < v.cols; ++c)
        v(r, c) = static_cast<scalar>(deviation * random.normal());
  }
};

/// A projection computes y = x W^T + b, in full precision or ternary, with an optional norm before
/// it (SubLN). A packed projection serves inference only: its `weight` keeps name and shape but has
/// no value. Embedding and head are projections, too; no stage makes them ternary.
template <matrix_owner Owner>
struct projection {
  parameter<Owner> weight;                     ///< (out, in)
  std::optional<parameter<Owner>> bias, norm;  ///< bias (1, out), gain of the norm (1, in)
  /// Scales of the ternary weights where these are parameters; a scale for each `scale_block`.
  std::optional<parameter<Owner>> scales;
  extents scale_block{};  ///< rows and columns of weights that share one of `scales`
  bool ternary = false;   ///< the forward pass rounds weights and activations
  std::optional<shared_weights<scalar_of<Owner>>> packed;  ///< replaces the value of `weight`

  /// The bias as a node of the graph, a null one where there is none.
  [[nodiscard]] variable<scalar_of<Owner>> bias_variable() {
    return bias ? bias->variable() : variable<scalar_of<Owner>>{};
  }

  /// Makes the scales parameters, with the value 0: one for each `block` of weights.
  void place_scales(extents block) {
    scale_block = block;
    const extents n = scale_extents(weight.shape, block);
    const std::string linear = weight.name.substr(0, weight.name.rfind('.') + 1);
    scales.emplace(linear + "scales", n.rows, n.cols);
    scales->kind = parameter_kind::scales;
  }

  /// Takes packed weights (out, in), which have scales of their own, and releases the value.
  void pack(shared_weights<scalar_of<Owner>> weights) {
    packed.emplace(std::move(weights));
    weight.release();
    scales.reset();
  }
};

}  // namespace tern::inline TERN_ABI
