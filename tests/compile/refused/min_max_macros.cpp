// refused: min or max is a macro: define NOMINMAX before <windows.h>
// Headers of the standard library come first, as before <windows.h>.
#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <random>
#include <thread>

#define min(a, b) (((a) < (b)) ? (a) : (b))
#define max(a, b) (((a) > (b)) ? (a) : (b))
#include "tern/tern.hpp"
