// Shapes of known models, and the speed of one with weights that mean nothing: it shows a user what
// ternary weights bring on the machine at hand.
#pragma once

#include <cstddef>
#include <string>

#include "tern/core/executor.hpp"
#include "tern/model/config.hpp"

namespace bitdistill {

/// The configuration of qwen3-0.6b, qwen3-1.7b or qwen3-4b. A ternary one has SubLN.
tern::model_config known_shape(const std::string& name, bool ternary);

/// One line: new tokens a second and megabytes of the shape of Qwen3-0.6B in ternary weights
/// (base3, a head of 8 bits) and in F32. It takes some seconds and 0.7 GB. Of the model in F32 a
/// seventh of the layers and of the vocabulary is measured, and its time counts seven times.
std::string speed_beside_f32(tern::executor_ref ex, std::size_t threads);

}  // namespace bitdistill
