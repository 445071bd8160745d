// The floors test must report that a folder which does without Eigen gets it through the adapter.
#include "tern/adapt/eigen.hpp"
