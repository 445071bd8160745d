// Functions of the library that compute with floats, as one unit of a program has them. The unit is
// compiled with several sets of flags; see shared.cmake.
#include "tern/distill/logits.hpp"
#include "tern/nn/cross_entropy.hpp"
#include "tern/nn/rms_norm.hpp"

template struct tern::cross_entropy<float>;
template struct tern::logits_loss<float>;
template struct tern::rms_norm<float>;
