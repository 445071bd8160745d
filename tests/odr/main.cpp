// Two translation units with different -m flags in one program. Each must keep its own inline
// functions, or code for the larger instruction set could run on a machine that lacks it.
#include <cstddef>
#include <cstdio>

#include "tern/isa/level.hpp"

const void* narrow_address();
const void* wide_address();
std::size_t narrow_compute(float& sum);
std::size_t wide_compute(float& sum);
bool narrow_multiply(int level);
bool wide_multiply(int level);

int main() {
  float narrow = 0, wide = 0;
  const std::size_t narrow_lanes = narrow_compute(narrow), wide_lanes = wide_compute(wide);
  std::printf("narrow: %zu lanes, sum %g; wide: %zu lanes, sum %g\n", narrow_lanes,
              static_cast<double>(narrow), wide_lanes, static_cast<double>(wide));
  if (narrow != wide || narrow == 0) return std::puts("the sums differ"), 1;
  if (narrow_lanes >= wide_lanes) return std::puts("the register widths are mixed up"), 1;
  if (narrow_address() == wide_address()) return std::puts("inline functions were merged"), 1;
  for (const tern::isa::level level : tern::isa::levels) {
    const int l = static_cast<int>(level);
    if (tern::isa::supported(level) && !(narrow_multiply(l) && wide_multiply(l)))
      return std::printf("level %s is wrong\n", name(level).data()), 1;
  }
}
