// What the floor test must report: an upward, a sideways and an outside include.
#include <Eigen/Core>

#include "tern/grad/tape.hpp"
#include "tern/nn/linear.hpp"
