// The tokenizer that comes with a model: the tokenizer.json of its folder, or the one inside its
// GGUF file.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tern/checkpoint/file_of_model.hpp"
#include "tern/checkpoint/read_gguf_tokenizer.hpp"
#include "tern/checkpoint/tokens_beside.hpp"
#include "tern/gguf/file.hpp"
#include "tern/text/tokenizer_json.hpp"

namespace tern::inline TERN_ABI {

/// `model`: a folder with a tokenizer.json, that file itself, or a GGUF file. In a folder other
/// files may name more added tokens. `notes` gets a sentence for each guess. Throws io_error,
/// format_error or config_error naming the file.
inline bpe_tokenizer load_tokenizer(const std::filesystem::path& model,
                                    std::vector<std::string>* notes = nullptr) {
  if (is_gguf(model)) return read_gguf_tokenizer(gguf_file(model).metadata(), notes);
  const bool folder = std::filesystem::is_directory(model) || !std::filesystem::exists(model);
  if (!folder) return bpe_tokenizer::load(model, notes);
  return bpe_tokenizer::load(file_of_model(model, "tokenizer.json"), notes, tokens_beside(model));
}

}  // namespace tern::inline TERN_ABI
