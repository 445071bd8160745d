// How many parameters a model has where, and which of them are or become ternary.
#pragma once

#include "tern/model/config.hpp"

namespace bitdistill {

void print_parameter_table(const tern::model_config& c);

}  // namespace bitdistill
