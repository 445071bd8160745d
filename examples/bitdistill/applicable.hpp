// Options that are good by themselves, but not together.
#pragma once

#include "options.hpp"

namespace bitdistill {

/// Throws config_error for an option that was given and has no effect beside the others, and for an
/// output whose name says that it is of another kind than what will be written. A command that
/// ignored such an option would do something else than it was told.
void require_applicable(const options& o);

}  // namespace bitdistill
