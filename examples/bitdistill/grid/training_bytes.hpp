// How much memory the training of a stage takes.
#pragma once

#include <cstddef>

#include "tern/recipe/recipe.hpp"

namespace bitdistill {

/// An estimate in bytes: weights with their gradients and moments, ternary copies, the teacher, and
/// what a micro-batch keeps for its backward pass. Throws as load_config() does where a teacher on
/// disk cannot be read.
std::size_t training_bytes(const tern::recipe& r, const tern::stage& s);

}  // namespace bitdistill
