// Weights that are stored as floats under Hugging Face's names: masters to train on, deployed
// models in full precision, and `bitnet` checkpoints whose weights are made ternary in the forward
// pass
// (`autobitlinear`, online).
#pragma once

#include <algorithm>
#include <set>
#include <string>

#include "tern/checkpoint/read_parameters.hpp"
#include "tern/io/safetensors_shards.hpp"
#include "tern/model/parameter.hpp"

namespace tern::inline TERN_ABI::detail {

/// Throws format_error where the weight is packed.
template <class Projection>
void require_floats(const Projection& p, const safetensors_shards& file) {
  const safetensors_tensor& tensor = file.at(p.weight.name);
  if (tensor.dtype == dtype::u8)
    tensor.fail("is packed, but config.json has no quantization_config that says so");
}

/// Reads every parameter that is not packed. The file may also hold the scales of packed weights,
/// tables of RoPE, which the library computes itself, and a copy of a tied embedding as the head.
template <class Model>
void read_floats(Model& model, const safetensors_shards& file) {
  std::set<std::string, std::less<>> known;
  model.for_each_projection([&](const auto& p) {
    if (p.packed) known.insert(p.weight.name + "_scale");
  });
  for (const std::string& name : file.names())
    if (name.ends_with(".rotary_emb.inv_freq")) known.insert(name);
  const std::string head = "lm_head.weight";
  if (model.config().tie_word_embeddings && file.contains(head)) {
    const safetensors_tensor& tensor = file.at(head);
    if (!std::ranges::equal(tensor.data, file.at(model.head().name).data))
      tensor.fail("differs from the embedding, but config.json ties the two");
    known.insert(head);
  }
  read_parameters(
      model, file, [](const std::string& name) { return name; }, [](auto&) {}, std::move(known),
      "a model of model_type " + model.config().model_type);
}

/// Reads a model. Throws format_error naming file and tensor.
template <class Model>
void read_masters(Model& model, const safetensors_shards& file) {
  model.for_each_projection([&](const auto& p) { require_floats(p, file); });
  read_floats(model, file);
}

}  // namespace tern::inline TERN_ABI::detail
