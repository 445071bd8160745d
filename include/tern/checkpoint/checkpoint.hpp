// A model as a Hugging Face folder: config.json and model.safetensors. Masters are F32; deployed
// models are F16, their ternary weights packed to 2 bits in the `bitnet` layout beside one scale.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <list>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tern/checkpoint/bitnet_layout.hpp"
#include "tern/checkpoint/config_json.hpp"
#include "tern/checkpoint/load_gguf.hpp"
#include "tern/checkpoint/packed_checkpoint.hpp"
#include "tern/checkpoint/plausible.hpp"
#include "tern/checkpoint/transformers_fit.hpp"
#include "tern/io/checkpoint_reader.hpp"
#include "tern/io/safetensors_writer.hpp"
#include "tern/model/decoder.hpp"

namespace tern::inline TERN_ABI {

/// What is in the weights file of a model folder.
enum class storage {
  master,    ///< F32, for training on
  deployed,  ///< F16, ternary weights packed
};

namespace detail {

/// Packed weights of one projection, alive until the file is written.
template <class T>
struct bitnet_tensor {
  std::vector<std::uint8_t> bytes;
  std::array<double, 1> divisor;  ///< F64, of which the scale comes back to the last bit

  template <class WeightQ>
  bitnet_tensor(const WeightQ& quantizer, matrix_view<const T> w)
      : bytes(bitnet_rows(w.rows) * w.cols) {
    if (WeightQ::scale_block(w.rows, w.cols) != extents{w.rows, w.cols})
      throw config_error("the bitnet layout needs one weight scale per tensor");
    std::vector<std::int8_t> codes(w.size());
    T factor = 0;
    const matrix_view<std::int8_t> view(codes.data(), w.rows, w.cols);
    quantizer.template quantize<T>(w, view, matrix_view<T>(&factor, 1, 1), {});
    pack_bitnet(view, {bytes.data(), bitnet_rows(w.rows), w.cols});
    divisor = {1 / static_cast<double>(factor)};
  }
};

/// Codes and scale as they stand in the file: nothing is rounded again.
template <class Owner>
void load_packed(const checkpoint_reader& file, bitnet_weights kind, projection<Owner>& p) {
  using T = scalar_of<Owner>;
  const extents shape = p.weight.shape;
  std::vector<std::uint8_t> bytes(bitnet_rows(shape.rows) * shape.cols);
  const matrix_view<std::uint8_t> packed(bytes.data(), bitnet_rows(shape.rows), shape.cols);
  const tensor_info& tensor = file.at(p.weight.name);
  read_matrix<std::uint8_t>(tensor, packed);
  std::vector<std::int8_t> codes(shape.rows * shape.cols);
  const matrix_view<std::int8_t> view(codes.data(), shape.rows, shape.cols);
  try {
    unpack_bitnet(packed, view);
  } catch (const format_error& e) {
    tensor.fail(e.what());
  }
  std::array<double, 1> number{};
  const tensor_info& stored = file.at(p.weight.name + "_scale");
  read_row<double>(stored, number);
  if (kind == bitnet_weights::divide) number[0] = 1 / number[0];
  const std::array<T, 1> scale{static_cast<T>(number[0])};
  if (!(scale[0] >= 0 && std::isfinite(scale[0]))) stored.fail("is not the scale of a weight");
  p.pack(shared_weights<T>(
      ternary_weights<two_bit, T>(view, matrix_view<const T>(scale.data(), 1, 1), shape)));
}

/// In transformers the bias of an autobitlinear takes part in the product that is scaled.
template <class Model>
void scale_biases(Model& model) {
  for (auto& block : model.blocks())
    block.for_each_projection([](auto& p) {
      if (!p.bias) return;
      const auto bias = p.bias->view();
      const auto scale = p.packed->visit([](const auto& w) { return w.scales()(0, 0); });
      for (std::size_t i = 0; i < bias.cols; ++i) bias(0, i) *= scale;
    });
}

/// Throws format_error where the file has a tensor that the model has no place for: it would
/// compute something else than the file's own program. A copy of a tied embedding is allowed.
template <class Model>
void require_known_tensors(Model& model, const checkpoint_reader& file) {
  std::set<std::string> known;
  model.for_each_parameter([&](auto& p) { known.insert(p.name); });
  for (auto& block : model.blocks())
    block.for_each_projection([&](auto& p) {
      if (p.packed) known.insert(p.weight.name + "_scale");
    });
  for (const std::string& name : file.names()) {
    if (known.contains(name) || name.ends_with(".rotary_emb.inv_freq")) continue;
    const tensor_info& tensor = file.at(name);
    if (name != "lm_head.weight")
      tensor.fail("has no place in a model of model_type " + model.config().model_type);
    if (!std::ranges::equal(tensor.data, file.at(model.head().name).data))
      tensor.fail("differs from the embedding, but config.json ties the two");
  }
}

}  // namespace detail

/// Writes `directory` (made if missing): model.safetensors, then config.json, each atomically.
template <class Owner, class WeightQ, class ActQ>
void save_model(decoder<Owner, WeightQ, ActQ>& model, const std::filesystem::path& directory,
                storage kind) {
  using T = scalar_of<Owner>;
  const bool deployed = kind == storage::deployed;
  const dtype type = deployed ? dtype::f16 : dtype_of<T>();
  const model_config written = deployed ? transformers_config(model.config()) : model.config();
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) throw io_error("cannot make '" + directory.string() + "': " + error.message());

  safetensors_writer file;
  file.metadata("format", "pt");
  std::list<detail::bitnet_tensor<T>> packed;
  std::vector<const parameter<Owner>*> ternary;
  for (auto& block : model.blocks())
    block.for_each_projection([&](auto& p) {
      if (p.packed) throw config_error("save_model: a packed model has no master weights");
      if (p.ternary && deployed) ternary.push_back(&p.weight);
    });
  model.for_each_parameter([&](parameter<Owner>& p) {
    if (std::ranges::find(ternary, &p) != ternary.end()) {
      const auto& tensor = packed.emplace_back(model.weight_quantizer(), p.view());
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
  // What transformers computes in by default: in F16, the sums of a bitlinear can be infinite.
  auto config = to_json(written, detail::torch_name(ternary.empty() ? type : dtype::f32));
  if (!ternary.empty()) config["quantization_config"] = bitnet_quantization(written);
  write_json(directory / "config.json", config);
}

/// The configuration of a model folder or a file *.gguf. Throws as load_model.
inline model_config load_config(const std::filesystem::path& model) {
  return is_gguf(model) ? model_config_from_gguf(gguf_file(model))
                        : read_model_config(model / "config.json");
}

/// Reads what save_model, save_packed_model or Hugging Face wrote; checksums, where there are any,
/// must be right. The library's own packed weights stay in the mapped file instead, unread until a
/// product needs them, and their file's checksum is not looked at. A file *.gguf is read as
/// load_gguf does. Throws io_error, config_error or format_error naming file and key or
/// tensor.
template <class Model = decoder<>>
Model load_model(const std::filesystem::path& directory) {
  using T = typename Model::scalar;
  if (is_gguf(directory)) return load_gguf<Model>(directory);
  const auto path = directory / "config.json";
  const auto json = read_json(path);
  const model_config config = model_config_from_json(json, path.string());
  const auto kind = read_bitnet_weights({json, path.string()}).value_or(bitnet_weights::masters);
  const auto shared = std::make_shared<const checkpoint_reader>(directory);
  const checkpoint_reader& file = *shared;
  double bytes = 0;
  for (const auto& part : file.files())
    for (const tensor_info& tensor : part.tensors())
      bytes += static_cast<double>(tensor.data.size());
  detail::require_plausible(config, bytes, directory.string() + ": config.json");
  if (kind != bitnet_weights::own)
    for (const auto& part : file.files()) part.verify();
  Model model(config, false);
  const auto read_projection = [&](auto& p, bool may_be_ternary) {
    const tensor_info& tensor = file.at(p.weight.name);
    const bool packed = tensor.dtype == dtype::u8;
    if (kind == bitnet_weights::own) {
      if (packed) return p.pack(detail::map_packed<T>(tensor, p.weight.shape, shared));
    } else {
      const bool declared = may_be_ternary && kind != bitnet_weights::masters;
      if (packed != declared)
        tensor.fail(packed ? "is packed, but config.json has no quantization_config of such"
                           : "is not packed, but config.json has a quantization_config");
      if (packed) return detail::load_packed(file, kind, p);
    }
    p.weight.allocate();
  };
  for (auto& block : model.blocks())
    block.for_each_projection([&](auto& p) { read_projection(p, true); });
  read_projection(model.embedding(), false);
  if (&model.head_projection() != &model.embedding())
    read_projection(model.head_projection(), false);
  detail::require_known_tensors(model, file);
  model.for_each_parameter([&](auto& p) {
    if (p.view().size() == 0) return;
    if (p.is_vector())
      read_row<T>(file.at(p.name), p.variable().value.row(0));
    else
      read_matrix<T>(file.at(p.name), p.variable().value);
  });
  if (kind == bitnet_weights::multiply) detail::scale_biases(model);
  return model;
}

}  // namespace tern::inline TERN_ABI
