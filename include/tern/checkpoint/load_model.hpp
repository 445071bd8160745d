// A model from a folder or a GGUF file. There is one reader for each way to store weights.
#pragma once

#include <filesystem>
#include <memory>
#include <utility>

#include "tern/checkpoint/config_json.hpp"
#include "tern/checkpoint/file_of_model.hpp"
#include "tern/checkpoint/load_gguf.hpp"
#include "tern/checkpoint/quantization_config.hpp"
#include "tern/checkpoint/read_autobitlinear.hpp"
#include "tern/checkpoint/read_bitlinear.hpp"
#include "tern/checkpoint/read_masters.hpp"
#include "tern/checkpoint/read_packed.hpp"
#include "tern/checkpoint/require_plausible.hpp"
#include "tern/checkpoint/use_model_names.hpp"
#include "tern/io/safetensors_shards.hpp"
#include "tern/json/read_json.hpp"
#include "tern/model/decoder.hpp"

namespace tern::inline TERN_ABI {

/// Reads what save_model, save_packed_model, save_gguf or Hugging Face wrote. Checksums must be
/// right where there are any, except that of the library's own packed weights: they stay in the
/// mapped file, unread until a product needs them, and only their scales are looked at. Tensors may
/// stand under the names that use_model_names() knows. A GGUF file is read as load_gguf does.
/// Throws io_error, config_error or format_error naming the file and the key or tensor, also where
/// a weight or a scale is not finite.
template <class Model = decoder<>>
Model load_model(const std::filesystem::path& path) {
  if (is_gguf(path)) return load_gguf<Model>(path);
  const auto config_path = file_of_model(path, "config.json");
  const auto json = read_json(config_path);
  model_config config = model_config_from_json(json, config_path.string());
  const auto kind =
      read_bitnet_weights({json, config_path.string()}).value_or(bitnet_weights::masters);
  auto opened = std::make_shared<safetensors_shards>(path);
  detail::apply_norms_of_linears(*opened, config);
  detail::use_model_names(*opened, config);
  const std::shared_ptr<const safetensors_shards> files = std::move(opened);
  detail::require_plausible(config, stored_bytes(*files), path.string() + ": config.json");
  if (kind != bitnet_weights::own)
    for (const auto& file : files->files()) file.verify();
  Model model(config, false);
  switch (kind) {
    case bitnet_weights::masters:
      detail::read_masters(model, *files);
      break;
    case bitnet_weights::multiply:
      detail::read_autobitlinear(model, *files);
      break;
    case bitnet_weights::divide:
      detail::read_bitlinear(model, *files);
      break;
    case bitnet_weights::own:
      detail::read_packed(model, files);
      break;
  }
  return model;
}

}  // namespace tern::inline TERN_ABI
