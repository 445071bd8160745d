// Writing a model as a folder like Hugging Face's: config.json and model.safetensors. Masters are
// stored as F32, or as F64 where they are doubles. Deployed models are F16; their ternary weights
// are packed to 2 bits in the `bitnet` layout, each beside one scale.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <list>
#include <string>
#include <utility>
#include <vector>

#include "tern/checkpoint/bitnet_layout.hpp"
#include "tern/checkpoint/config_json.hpp"
#include "tern/checkpoint/make_folder.hpp"
#include "tern/checkpoint/torch_name.hpp"
#include "tern/checkpoint/transformers_config.hpp"
#include "tern/io/safetensors_writer.hpp"
#include "tern/json/write_json.hpp"
#include "tern/model/decoder.hpp"

namespace tern::inline TERN_ABI {

/// How a model folder stores weights.
enum class storage {
  master,    ///< masters, to train on
  deployed,  ///< F16, with packed ternary weights
};

namespace detail {

/// The packed weights of one projection. They must live until the file is written.
template <class T>
struct bitnet_tensor {
  std::vector<std::uint8_t> bytes;
  std::array<double, 1> divisor;  ///< in F64, so that the scale comes back to the last bit

  template <class WeightQ>
  bitnet_tensor(const std::string& name, const WeightQ& quantizer, matrix_view<const T> w)
      : bytes(bitnet_rows(w.rows) * w.cols) {
    if (quantizer.scale_block(w.rows, w.cols) != extents{w.rows, w.cols})
      throw config_error("save_model: '" + name +
                         "' has several scales, but the bitnet layout stores one for a tensor; a "
                         "packed folder holds them");
    std::vector<std::int8_t> codes(w.size());
    T factor = 0;
    const matrix_view<std::int8_t> view(codes.data(), w.rows, w.cols);
    quantizer.template quantize<T>(w, view, matrix_view<T>(&factor, 1, 1), {});
    pack_bitnet(view, {bytes.data(), bitnet_rows(w.rows), w.cols});
    divisor = {1 / static_cast<double>(factor)};
  }
};

}  // namespace detail

/// Writes model.safetensors and then config.json to `directory`, each atomically; makes the
/// directory where it is missing. Throws io_error, and config_error where a packed model has no
/// masters, where weights have several scales, or where a deployed folder cannot hold a field of
/// the configuration.
template <class Owner, class WeightQ, class ActQ>
void save_model(decoder<Owner, WeightQ, ActQ>& model, const std::filesystem::path& directory,
                storage kind) {
  using T = scalar_of<Owner>;
  const bool deployed = kind == storage::deployed;
  const dtype type = deployed ? dtype::f16 : dtype_of<T>();
  const model_config written = deployed ? transformers_config(model.config()) : model.config();
  make_folder(directory);
  safetensors_writer file;
  file.metadata("format", "pt");
  std::list<detail::bitnet_tensor<T>> packed;
  std::vector<const parameter<Owner>*> ternary;  // weights that are stored as codes
  std::vector<const parameter<Owner>*> beside;   // their scales, which stand beside the codes
  for (auto& layer : model.layers())
    layer.for_each_projection([&](auto& p) {
      if (p.packed) throw config_error("save_model: a packed model has no master weights");
      if (!p.ternary || !deployed) return;
      ternary.push_back(&p.weight);
      if (p.scales) beside.push_back(&*p.scales);
      model.with_weight_quantizer(p, [&](const auto& quantizer) {
        packed.emplace_back(p.weight.name, quantizer, p.weight.view());
      });
    });
  auto next = packed.begin();
  model.for_each_parameter([&](parameter<Owner>& p) {
    if (std::ranges::find(beside, &p) != beside.end()) return;
    if (std::ranges::find(ternary, &p) != ternary.end()) {
      const auto& tensor = *next++;
      file.add_values<std::uint8_t>(p.name, {bitnet_rows(p.view().rows), p.view().cols},
                                    tensor.bytes);
      file.add_row<double>(p.name + "_scale", tensor.divisor);
    } else if (p.is_vector()) {
      file.add_row<T>(p.name, std::as_const(p).view().row(0), type);
    } else {
      file.add_matrix<T>(p.name, p.value, type);
    }
  });
  file.write(directory / "model.safetensors");
  // transformers computes in this type by default. In F16 the sums of a bitlinear could be
  // infinite.
  auto config = to_json(written, torch_name(ternary.empty() ? type : dtype::f32));
  if (!ternary.empty()) config["quantization_config"] = bitnet_quantization(written);
  write_json(directory / "config.json", config);
}

}  // namespace tern::inline TERN_ABI
