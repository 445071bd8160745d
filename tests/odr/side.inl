// Compiled twice into one program, for different instruction sets (see CMakeLists.txt).
#include <cstddef>
#include <vector>

#include "tern/core/random.hpp"
#include "tern/core/simd.hpp"

/// The address of an inline function of the library, as this translation unit sees it.
const void* TERN_ODR_SIDE(address)() { return reinterpret_cast<const void*>(&tern::require_size); }

/// Runs library code and returns how many floats a register holds here.
std::size_t TERN_ODR_SIDE(compute)(float& sum) {
  std::vector<float> values(1000);
  tern::philox random(7);
  for (float& v : values) v = static_cast<float>(random.below(100));
  sum = tern::simd::sum(tern::row_view<const float>(values));
  return tern::simd::lanes<float>;
}
