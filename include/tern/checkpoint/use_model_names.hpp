// Names of tensors that other programs store and transformers accepts, as the names of the model's
// parameters.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "tern/checkpoint/norms_of_linears.hpp"
#include "tern/io/safetensors_shards.hpp"
#include "tern/model/config.hpp"

namespace tern::inline TERN_ABI::detail {

/// Gives the tensors of a folder the names of the model's parameters. A model that was saved
/// without its head has names without "model.". Norms inside linears get the names of the norms
/// before them. A table that serves as embedding and as head may stand under either name, since
/// some programs store a shared tensor once. Throws format_error where two tensors would get one
/// name.
inline void use_model_names(safetensors_shards& files, const model_config& config) {
  const std::string embedding = "model.embed_tokens.weight", head = "lm_head.weight";
  const std::string_view prefix = "model.";
  const auto names = files.names();
  if (std::ranges::none_of(names, [&](const auto& name) { return name.starts_with(prefix); }))
    for (const std::string& name : names)
      if (name != head) files.rename(name, std::string(prefix) + name);
  rename_norms_of_linears(files);
  if (config.tie_word_embeddings && !files.contains(embedding) && files.contains(head))
    files.rename(head, embedding);
}

}  // namespace tern::inline TERN_ABI::detail
