// refused: tern needs NaN and infinity: add -fno-finite-math-only
// flags: -ffast-math
#include "tern/core/simd.hpp"
