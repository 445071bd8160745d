// The instruction-set levels that a test runs at: those of this machine.
#pragma once

#include <vector>

#include "tern/isa/level.hpp"

namespace tern_test {

inline std::vector<tern::isa::level> supported_levels() {
  std::vector<tern::isa::level> all;
  for (const tern::isa::level l : tern::isa::levels)
    if (tern::isa::supported(l)) all.push_back(l);
  return all;
}

/// Declares `level` and runs the rest of the test case once for each level of this machine; a check
/// that fails names the level.
#define GENERATE_LEVEL()                                                  \
  const auto level = GENERATE(from_range(tern_test::supported_levels())); \
  INFO("level " << tern::isa::name(level))

}  // namespace tern_test
