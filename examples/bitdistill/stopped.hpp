// A run ended by a signal; its state is saved and the message tells how to go on.
#pragma once

#include <stdexcept>

namespace bitdistill {

struct stopped : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace bitdistill
