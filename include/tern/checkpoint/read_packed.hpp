// The library's own packed weights, as save_packed_model() stores them: they stay in the mapped
// file and are used there, unread until a product needs them.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "tern/checkpoint/read_masters.hpp"
#include "tern/core/error.hpp"
#include "tern/io/safetensors_shards.hpp"
#include "tern/model/parameter.hpp"
#include "tern/pack/shared_weights.hpp"

namespace tern::inline TERN_ABI::detail {

/// The packed weights that a tensor holds. They stay where they are; `owner` keeps them mapped.
template <class T>
shared_weights<T> map_packed(const safetensors_tensor& tensor, extents shape,
                             std::shared_ptr<const void> owner) {
  try {
    const shared_weights<T> w(tensor.data, std::move(owner));
    if (w.rows() != shape.rows || w.cols() != shape.cols)
      tensor.fail("holds " + std::to_string(w.rows()) + " x " + std::to_string(w.cols()) +
                  " weights, expected " + std::to_string(shape.rows) + " x " +
                  std::to_string(shape.cols));
    return w;
  } catch (const config_error&) {
    tensor.fail("packed weights are not at a multiple of 64 bytes");
  } catch (const format_error& e) {
    const std::string what = e.what();
    if (what.starts_with(tensor.file)) throw;
    tensor.fail(what);
  }
}

/// Reads a model. Any projection may be packed, also embedding and head; the rest is read as
/// floats. Throws format_error naming file and tensor.
template <class Model>
void read_packed(Model& model, const std::shared_ptr<const safetensors_shards>& file) {
  using T = typename Model::scalar;
  model.for_each_projection([&](auto& p) {
    const safetensors_tensor& tensor = file->at(p.weight.name);
    if (tensor.dtype == dtype::u8) p.pack(map_packed<T>(tensor, p.weight.shape, file));
  });
  read_floats(model, *file);
}

}  // namespace tern::inline TERN_ABI::detail
