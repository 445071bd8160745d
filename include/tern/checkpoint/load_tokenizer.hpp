// The tokenizer that comes with a model: the tokenizer.json of its folder, or the one inside its
// GGUF file.
#pragma once

#include <filesystem>

#include "tern/checkpoint/read_gguf_tokenizer.hpp"
#include "tern/gguf/file.hpp"
#include "tern/text/tokenizer_json.hpp"

namespace tern::inline TERN_ABI {

/// `model`: a folder with a tokenizer.json, or a file *.gguf. Throws io_error, format_error or
/// config_error naming the file.
inline bpe_tokenizer load_tokenizer(const std::filesystem::path& model) {
  return is_gguf(model) ? read_gguf_tokenizer(gguf_file(model).metadata())
                        : bpe_tokenizer::load(model / "tokenizer.json");
}

}  // namespace tern::inline TERN_ABI
