// A table of the parameters of a model: how many each part has, and which are or become ternary.
#pragma once

#include <cstddef>

#include "tern/model/config.hpp"

namespace bitdistill {

/// Number of parameters of a model, norms and biases included.
std::size_t count_parameters(const tern::model_config& c);

/// Prints the table to stdout.
void print_parameter_table(const tern::model_config& c);

}  // namespace bitdistill
