// Reading the parameters that are not packed, from any source of tensors. It is the last step of
// every reader of models.
#pragma once

#include <set>
#include <string>
#include <utility>

#include "tern/io/tensor_source.hpp"
#include "tern/model/parameter.hpp"

namespace tern::inline TERN_ABI::detail {

/// Takes memory for the projections that are not packed and reads every parameter from the tensor
/// that `name_of(name)` names. `finish(parameter)` then undoes what the format does to its values.
/// `known` are further tensors that the source may have, `reader` stands in messages.
/// Throws format_error where a tensor is missing, is misshapen, or has no place in the model.
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
    finish(p);
  });
}

}  // namespace tern::inline TERN_ABI::detail
