// refused: tern needs the arithmetic of SSE2
#include "tern/core/tensor.hpp"
