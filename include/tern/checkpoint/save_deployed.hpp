// Writing a trained model in the smallest folder that computes the same: what a run measures.
#pragma once

#include <filesystem>

#include "tern/checkpoint/save_model.hpp"
#include "tern/checkpoint/save_packed_model.hpp"
#include "tern/core/executor.hpp"
#include "tern/model/pack_model.hpp"
#include "tern/pack/two_bit.hpp"

namespace tern::inline TERN_ABI {

/// Writes a folder that transformers reads, or a packed folder where weights have several scales,
/// which the former cannot hold. The model is packed in the second case. Throws what save_model()
/// throws.
template <class Owner, class WeightQ, class ActQ>
void save_deployed(decoder<Owner, WeightQ, ActQ>& model, const std::filesystem::path& directory,
                   executor_ref ex = {}) {
  if (model.config().has_one_scale()) return save_model(model, directory, storage::deployed);
  pack_ternary<two_bit>(model, ex);
  save_packed_model(model, directory, dtype::f16);
}

}  // namespace tern::inline TERN_ABI
