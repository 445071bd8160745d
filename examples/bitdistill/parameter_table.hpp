// A table of the parameters of a model: how many each part has, and which are or become ternary.
#pragma once

#include "tern/model/config.hpp"

namespace bitdistill {

/// Prints the table to stdout.
void print_parameter_table(const tern::model_config& c);

}  // namespace bitdistill
