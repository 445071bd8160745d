// The configuration that comes with a model.
#pragma once

#include <filesystem>

#include "tern/checkpoint/config_json.hpp"
#include "tern/checkpoint/file_of_model.hpp"
#include "tern/checkpoint/model_config_from_gguf.hpp"
#include "tern/checkpoint/norms_of_linears.hpp"
#include "tern/core/os_error.hpp"
#include "tern/gguf/file.hpp"
#include "tern/io/safetensors_shards.hpp"

namespace tern::inline TERN_ABI {

/// `model`: a folder with a config.json, or a GGUF file. Where the folder has weights, their names
/// count, too, see norms_of_linears.hpp. Throws io_error, config_error or format_error naming the
/// file and the key or tensor.
inline model_config load_config(const std::filesystem::path& model) {
  if (is_gguf(model)) return model_config_from_gguf(gguf_file(model));
  model_config config = read_model_config(file_of_model(model, "config.json"));
  for (const char* weights : {"model.safetensors", "model.safetensors.index.json"})
    if (path_exists(model / weights)) {
      detail::apply_norms_of_linears(safetensors_shards(model), config);
      break;
    }
  return config;
}

}  // namespace tern::inline TERN_ABI
