// The floors test must report an outside library, an include of the same floor and one of a higher
// floor.
#include <Eigen/Core>

#include "tern/grad/tape.hpp"
#include "tern/nn/linear.hpp"
