// Packed codes and scales of Hugging Face's `bitnet` checkpoints, whose conventions differ in the
// scale only.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "tern/checkpoint/bitnet_layout.hpp"
#include "tern/checkpoint/read_masters.hpp"
#include "tern/core/error.hpp"
#include "tern/core/is_finite.hpp"
#include "tern/io/safetensors_shards.hpp"
#include "tern/model/parameter.hpp"
#include "tern/pack/two_bit.hpp"

namespace tern::inline TERN_ABI::detail {

/// Packs a projection with codes and scale as they stand in the file; nothing is rounded again.
/// `scale_of(number)` returns the scale that a stored number means.
template <class Owner, class ScaleOf>
void read_bitnet_codes(const safetensors_shards& file, projection<Owner>& p, ScaleOf&& scale_of) {
  using T = scalar_of<Owner>;
  const extents shape = p.weight.shape;
  const safetensors_tensor& tensor = file.at(p.weight.name);
  if (tensor.dtype != dtype::u8)
    tensor.fail("is not packed, but config.json has a quantization_config");
  std::vector<std::uint8_t> bytes(bitnet_rows(shape.rows) * shape.cols);
  const matrix_view<std::uint8_t> packed(bytes.data(), bitnet_rows(shape.rows), shape.cols);
  read_matrix<std::uint8_t>(tensor, packed);
  std::vector<std::int8_t> codes(shape.rows * shape.cols);
  const matrix_view<std::int8_t> view(codes.data(), shape.rows, shape.cols);
  try {
    unpack_bitnet(packed, view);
  } catch (const format_error& e) {
    tensor.fail(e.what());
  }
  std::array<double, 1> number{};
  const safetensors_tensor& stored = file.at(p.weight.name + "_scale");
  read_row<double>(stored, number);
  const std::array<T, 1> scale{static_cast<T>(scale_of(number[0]))};
  if (!(scale[0] >= 0 && is_finite(scale[0]))) stored.fail("is not the scale of a weight");
  p.pack(shared_weights<T>(
      ternary_weights<two_bit, T>(view, matrix_view<const T>(scale.data(), 1, 1), shape)));
}

/// Reads a whole model. Every linear of the layers must be packed, everything else must be floats.
template <class Model, class ScaleOf>
void read_bitnet(Model& model, const safetensors_shards& file, ScaleOf&& scale_of) {
  for (auto& layer : model.layers())
    layer.for_each_projection([&](auto& p) { read_bitnet_codes(file, p, scale_of); });
  model.for_each_projection([&](const auto& p) {
    if (!p.packed) require_floats(p, file);
  });
  read_floats(model, file);
}

}  // namespace tern::inline TERN_ABI::detail
