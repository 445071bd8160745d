// A model as a Hugging Face folder: config.json and model.safetensors. Masters are F32; deployed
// models are F16, their ternary weights packed to 2 bits in the `bitnet` layout beside one scale.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <list>
#include <string>
#include <utility>
#include <vector>

#include "tern/io/bitnet_layout.hpp"
#include "tern/io/checkpoint_reader.hpp"
#include "tern/io/safetensors_writer.hpp"
#include "tern/model/config_json.hpp"
#include "tern/model/decoder.hpp"

namespace tern::inline TERN_ABI {

enum class storage {
  master,    ///< F32, for training on
  deployed,  ///< F16, ternary weights packed
};

namespace detail {

/// Packed weights of one projection, alive until the file is written.
template <class T>
struct bitnet_tensor {
  std::vector<std::uint8_t> bytes;
  std::array<float, 1> scale;

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
    scale = {static_cast<float>(factor)};
  }
};

/// What quantization_config says of weights packed as ours: codes times the scale beside them.
inline constexpr std::array<std::array<const char*, 2>, 3> bitnet_settings = {
    {{"quant_method", "bitnet"},
     {"linear_class", "autobitlinear"},
     {"quantization_mode", "offline"}}};

/// Whether a config.json declares packed weights; throws config_error where they are no such.
inline bool declares_packed(const json_fields& config, bool ternary) {
  if (!config.has("quantization_config")) return false;
  const json_fields given = config.object("quantization_config");
  for (const auto& [key, value] : bitnet_settings)
    if (const auto got = given.get<std::string>(key); got != value) given.fail(key, value, got);
  if (!ternary) config.fail("tern.ternary", "true beside quantization_config", "false");
  return true;
}

template <class Owner>
void load_packed(const checkpoint_reader& file, projection<Owner>& p) {
  using T = scalar_of<Owner>;
  const auto shape = p.weight.view();
  std::vector<std::uint8_t> bytes(bitnet_rows(shape.rows) * shape.cols);
  const matrix_view<std::uint8_t> packed(bytes.data(), bitnet_rows(shape.rows), shape.cols);
  const tensor_info& tensor = file.at(p.weight.name);
  read_matrix<std::uint8_t>(tensor, packed);
  std::vector<std::int8_t> codes(shape.size());
  const matrix_view<std::int8_t> view(codes.data(), shape.rows, shape.cols);
  try {
    unpack_bitnet(packed, view);
  } catch (const format_error& e) {
    tensor.fail(e.what());
  }
  std::array<T, 1> scale{};
  read_row<T>(file.at(p.weight.name + "_scale"), scale);
  p.packed.emplace(view, matrix_view<const T>(scale.data(), 1, 1), extents{shape.rows, shape.cols});
  p.weight.value = tensor_traits<Owner>::make(0, 0);
}

}  // namespace detail

/// Writes `directory` (made if missing): model.safetensors, then config.json, each atomically.
template <class Owner, class WeightQ, class ActQ>
void save_model(decoder<Owner, WeightQ, ActQ>& model, const std::filesystem::path& directory,
                storage kind) {
  using T = scalar_of<Owner>;
  const bool deployed = kind == storage::deployed;
  const dtype type = deployed ? dtype::f16 : dtype_of<T>();
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
      const auto& tensor = packed.emplace_back(WeightQ{}, p.view());
      file.add_values<std::uint8_t>(p.name, {bitnet_rows(p.view().rows), p.view().cols},
                                    tensor.bytes);
      file.add_row<float>(p.name + "_scale", tensor.scale);
    } else if (p.is_vector()) {
      file.add_row<T>(p.name, std::as_const(p).view().row(0), type);
    } else {
      file.add_matrix<T>(p.name, p.value, type);
    }
  });
  file.write(directory / "model.safetensors");
  auto config = to_json(model.config(), deployed                      ? "float16"
                                        : dtype_of<T>() == dtype::f64 ? "float64"
                                                                      : "float32");
  if (!ternary.empty()) {
    auto& quantization = config["quantization_config"];
    quantization["modules_to_not_convert"] = {"lm_head"};
    for (const auto& [key, value] : detail::bitnet_settings) quantization[key] = value;
  }
  write_json(directory / "config.json", config);
}

/// Reads what save_model or Hugging Face wrote; checksums, where there are any, must be right.
/// Throws io_error, config_error or format_error naming file and key or tensor.
template <class Model = decoder<>>
Model load_model(const std::filesystem::path& directory) {
  using T = typename Model::scalar;
  const auto path = directory / "config.json";
  const auto json = read_json(path);
  Model model(model_config_from_json(json, path.string()));
  const bool declared = detail::declares_packed({json, path.string()}, model.config().ternary);
  const checkpoint_reader file(directory);
  for (const auto& part : file.files()) part.verify();
  for (auto& block : model.blocks())
    block.for_each_projection([&](auto& p) {
      const tensor_info& tensor = file.at(p.weight.name);
      const bool packed = tensor.dtype == dtype::u8;
      if (packed != declared)
        tensor.fail(packed ? "is packed, but config.json has no quantization_config"
                           : "is not packed, but config.json has a quantization_config");
      if (packed) detail::load_packed(file, p);
    });
  model.for_each_parameter([&](auto& p) {
    if (p.view().size() == 0) return;
    if (p.is_vector())
      read_row<T>(file.at(p.name), p.variable().value.row(0));
    else
      read_matrix<T>(file.at(p.name), p.variable().value);
  });
  return model;
}

}  // namespace tern::inline TERN_ABI
