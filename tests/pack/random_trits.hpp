#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tern/core/random.hpp"

namespace tern_test {

/// n codes of -1, 0 and 1.
inline std::vector<std::int8_t> random_trits(std::size_t n, std::uint64_t seed) {
  tern::philox random(seed);
  std::vector<std::int8_t> codes(n);
  for (auto& c : codes) c = static_cast<std::int8_t>(static_cast<int>(random.below(3)) - 1);
  return codes;
}

}  // namespace tern_test
