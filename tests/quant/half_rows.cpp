#include "tern/quant/half_rows.hpp"

#include <cmath>
#include <cstdint>
#include <vector>

#include "tests/support.hpp"

using namespace tern;

TEST_CASE("rows of F16 convert as single numbers do") {
  std::vector<std::uint16_t> halves(65536), back(halves.size());
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
  std::vector<float> floats(halves.size());
  from_f16(halves.data(), floats.data(), halves.size());
  to_f16(floats.data(), back.data(), halves.size());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < halves.size(); ++i) {
    const bool nan = (halves[i] & 0x7FFF) > 0x7C00;
    wrong += nan ? !std::isnan(floats[i]) || back[i] != to_f16(floats[i])
                 : floats[i] != from_f16(halves[i]) || back[i] != halves[i];
  }
  CHECK(wrong == 0);
  for (std::size_t i = 0; i < floats.size(); ++i)
    floats[i] = std::ldexp(1.0f + static_cast<float>(i) * 0x1p-15f, static_cast<int>(i % 50) - 30);
  to_f16(floats.data(), back.data(), floats.size());
  for (std::size_t i = 0; i < floats.size(); ++i) wrong += back[i] != to_f16(floats[i]);
  CHECK(wrong == 0);
}
