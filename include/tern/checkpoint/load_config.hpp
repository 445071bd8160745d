// The configuration that comes with a model.
#pragma once

#include <filesystem>

#include "tern/checkpoint/config_json.hpp"
#include "tern/checkpoint/file_of_model.hpp"
#include "tern/checkpoint/model_config_from_gguf.hpp"
#include "tern/gguf/file.hpp"

namespace tern::inline TERN_ABI {

/// `model`: a folder with a config.json, or a GGUF file. Throws io_error, config_error or
/// format_error naming the file and the key or tensor.
inline model_config load_config(const std::filesystem::path& model) {
  return is_gguf(model) ? model_config_from_gguf(gguf_file(model))
                        : read_model_config(file_of_model(model, "config.json"));
}

}  // namespace tern::inline TERN_ABI
