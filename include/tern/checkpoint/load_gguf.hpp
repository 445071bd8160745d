// A model from a GGUF file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tern/checkpoint/gguf_names.hpp"
#include "tern/checkpoint/model_config_from_gguf.hpp"
#include "tern/checkpoint/read_parameters.hpp"
#include "tern/checkpoint/require_plausible.hpp"
#include "tern/gguf/file.hpp"
#include "tern/gguf/ternary.hpp"
#include "tern/model/decoder.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// The codes of a tensor as they stand in the file, with a scale for each group, or with one scale
/// where they have the same everywhere. `rotated_head`: the width of a head where rows have GGUF's
/// order, else 0.
template <class T>
shared_weights<T> read_gguf_trits(const gguf_tensor& t, extents shape, std::size_t rotated_head) {
  extents block = ternary_scale_block(t.type, shape.rows, shape.cols);
  const extents n = scale_extents(shape, block);
  std::vector<std::int8_t> codes(shape.rows * shape.cols);
  std::vector<float> scales(n.rows * n.cols);
  const matrix_view<std::int8_t> w(codes.data(), shape.rows, shape.cols);
  const matrix_view<float> s(scales.data(), n.rows, n.cols);
  read_ternary(t, w, s);
  std::vector<T> used(scales.begin(), scales.end());
  if (const auto single = single_scale(t)) {
    // A block of zeros may have the scale 0 and any codes.
    for (std::size_t r = 0; n.cols * n.rows > 1 && r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c)
        if (s(r, c / block.cols) == 0) w(r, c) = 0;
    used.assign(1, static_cast<T>(*single));
    block = shape;
  }
  const extents kept = scale_extents(shape, block);
  const matrix_view<T> u(used.data(), kept.rows, kept.cols);
  if (rotated_head != 0) {
    reorder_heads(w, rotated_head, rope_order::to_halves);
    if (block.rows == 1) reorder_heads(u, rotated_head, rope_order::to_halves);
  }
  return shared_weights<T>(ternary_weights<two_bit, T>(matrix_view<const std::int8_t>(w),
                                                       matrix_view<const T>(u), block));
}

}  // namespace detail

/// Reads a model. Ternary weights (TQ1_0, TQ2_0, Q2_0, PQ2_0, I2_S) stay codes where all linears of
/// the layers are ternary, and each has one scale or all have the same type; otherwise every tensor
/// is dequantized. `layout` is that of
/// I2_S, which no file says. Throws io_error, format_error or config_error naming the file and the
/// key or tensor.
template <class Model = decoder<>>
Model load_gguf(const std::filesystem::path& path, i2_s_layout layout = i2_s_layout::x86) {
  using T = typename Model::scalar;
  const gguf_file file(path, layout);
  const auto& architecture = architecture_of(file);
  const model_config config = model_config_from_gguf(file);
  detail::require_plausible(config, stored_bytes(file), path.string() + ": its metadata");

  Model model(config, false);
  const auto name_of = [&](const std::string& name) { return gguf_name(config, name); };
  const auto rotated = [&](const std::string& name) {
    return architecture.adjacent && is_rotated(name) ? config.head_dim : 0;
  };
  model.for_each_projection([&](auto& p) {
    if (p.ternary)
      p.pack(detail::read_gguf_trits<T>(file.at(name_of(p.weight.name)), p.weight.shape,
                                        rotated(p.weight.name)));
  });
  detail::read_parameters(
      model, file, name_of,
      [&](auto& p) {
        const matrix_view<T> w = p.view();
        const matrix_view<T> rows = p.is_vector() ? w.transposed() : w;
        if (const std::size_t head = rotated(p.name))
          reorder_heads(rows, head, rope_order::to_halves);
        if (config.unit_offset && has_unit_offset(p.name))
          for (std::size_t i = 0; i < w.cols; ++i) w(0, i) -= 1;
      },
      {std::string(gguf_rope_factors)},
      "a model of architecture " + std::string(architecture.name));
  return model;
}

}  // namespace tern::inline TERN_ABI
