// The convention `bitlinear` of Hugging Face's `bitnet` checkpoints: the file stores 1 / mean|W|,
// by which products are divided.
#pragma once

#include "tern/checkpoint/read_bitnet_codes.hpp"
#include "tern/io/safetensors_shards.hpp"

namespace tern::inline TERN_ABI::detail {

/// Reads a model. Throws format_error naming file and tensor.
template <class Model>
void read_bitlinear(Model& model, const safetensors_shards& file) {
  read_bitnet(model, file, [](double divisor) { return 1 / divisor; });
}

}  // namespace tern::inline TERN_ABI::detail
