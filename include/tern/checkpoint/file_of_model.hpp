// The files of a model folder, and what to say where a path is no such folder.
#pragma once

#include <filesystem>
#include <string>
#include <system_error>

#include "tern/core/error.hpp"
#include "tern/core/file_kind.hpp"
#include "tern/core/mapped_file.hpp"

namespace tern::inline TERN_ABI {

/// The path of a file in a model folder. Throws format_error where `model` is a file instead, which
/// says of what kind it is, and io_error where the folder lacks the file and holds a GGUF file that
/// may have been meant.
inline std::filesystem::path file_of_model(const std::filesystem::path& model,
                                           const std::string& name) {
  std::error_code unknown;  // opening the file will say what is wrong
  const std::string expected = "a model folder or a GGUF file";
  if (std::filesystem::is_regular_file(model, unknown)) {
    const mapped_file file(model);
    if (file_kind_of(file.text()) == file_kind::safetensors)
      throw format_error(model.string() + ": expected " + expected +
                         ", but it is a safetensors file: name the folder that holds it and its "
                         "config.json");
    refuse_known_kind(file.text(), model.string(), expected);
    throw format_error(model.string() + ": expected " + expected +
                       ", but it is neither a folder nor does it begin with GGUF");
  }
  if (std::filesystem::is_directory(model, unknown) &&
      !std::filesystem::exists(model / name, unknown))
    for (const auto& entry : std::filesystem::directory_iterator(model, unknown))
      if (entry.path().extension() == ".gguf")
        throw io_error("'" + model.string() + "' has no " + name +
                       ", but a GGUF file: name that file, '" + entry.path().string() + "'");
  return model / name;
}

}  // namespace tern::inline TERN_ABI
