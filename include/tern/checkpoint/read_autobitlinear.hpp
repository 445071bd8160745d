// The convention `autobitlinear`, offline, of Hugging Face's `bitnet` checkpoints: the file stores
// mean|W|, by which products are multiplied, biases included.
#pragma once

#include <cstddef>

#include "tern/checkpoint/read_bitnet_codes.hpp"
#include "tern/io/safetensors_shards.hpp"

namespace tern::inline TERN_ABI::detail {

/// Reads a model. In transformers the bias takes part in the product that is scaled, so biases are
/// scaled here. Throws format_error naming file and tensor.
template <class Model>
void read_autobitlinear(Model& model, const safetensors_shards& file) {
  read_bitnet(model, file, [](double scale) { return scale; });
  for (auto& layer : model.layers())
    layer.for_each_projection([](auto& p) {
      if (!p.bias) return;
      const auto bias = p.bias->view();
      const auto scale = p.packed->visit([](const auto& w) { return w.scales()(0, 0); });
      for (std::size_t i = 0; i < bias.cols; ++i) bias(0, i) *= scale;
    });
}

}  // namespace tern::inline TERN_ABI::detail
