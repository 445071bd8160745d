// Reading the parameters that are not packed, from any source of tensors. It is the last step of
// every reader of models.
#pragma once

#include <cstddef>
#include <set>
#include <span>
#include <string>
#include <utility>

#include "tern/core/all_finite.hpp"
#include "tern/core/tensor.hpp"
#include "tern/io/tensor_source.hpp"
#include "tern/model/parameter.hpp"

namespace tern::inline TERN_ABI::detail {

/// Throws format_error, which names file, tensor and row, where a value that was read is NaN or
/// infinite. One such weight spoils all that the model computes.
template <class T, stored_tensor Tensor>
void require_finite_values(const Tensor& tensor, matrix_view<const T> w) {
  for (std::size_t r = 0; r < w.rows; ++r) {
    bool finite = true;
    if (w.col_stride == 1)
      finite = all_finite(std::span<const T>(&w(r, 0), w.cols));
    else
      for (std::size_t c = 0; c < w.cols; ++c) finite = finite && is_finite(w(r, c));
    if (!finite) tensor.fail("row " + std::to_string(r) + " has a value that is not finite");
  }
}

/// Takes memory for the projections that are not packed and reads every parameter from the tensor
/// that `name_of(name)` names. `finish(parameter)` then undoes what the format does to its values.
/// `known` are further tensors that the source may have, `reader` stands in messages.
/// Throws format_error where a tensor is missing, is misshapen, has a value that is not finite, or
/// has no place in the model.
template <class Model, tensor_source Source, class NameOf, class Finish>
void read_parameters(Model& model, const Source& source, NameOf&& name_of, Finish&& finish,
                     std::set<std::string, std::less<>> known, const std::string& reader) {
  using T = typename Model::scalar;
  model.for_each_parameter([&](auto& p) { known.insert(name_of(p.name)); });
  require_known_tensors(source, known, reader);
  model.for_each_projection([](auto& p) {
    if (!p.packed) p.weight.allocate();
  });
  model.for_each_parameter([&](auto& p) {
    const matrix_view<T> w = p.view();
    if (w.size() == 0) return;  // packed
    const auto& tensor = source.at(name_of(p.name));
    if (p.is_vector())
      read_row<T>(tensor, w.row(0));
    else
      read_matrix<T>(tensor, w);
    require_finite_values<T>(tensor, w);
    finish(p);
  });
}

}  // namespace tern::inline TERN_ABI::detail
