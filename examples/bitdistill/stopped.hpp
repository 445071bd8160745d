// The exception of a run that a signal stopped.
#pragma once

#include <stdexcept>

namespace bitdistill {

/// A run was stopped by a signal. Its state is saved, and the message tells how to continue.
struct stopped : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace bitdistill
