// refused: tern throws exceptions: remove -fno-exceptions
// flags: -fno-exceptions
#include "tern/core/error.hpp"
