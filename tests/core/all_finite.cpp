#include "tern/core/all_finite.hpp"

#include <limits>
#include <vector>

#include "tests/support.hpp"

TEMPLATE_TEST_CASE("values are finite unless one is infinite or NaN", "[all_finite]", float,
                   double) {
  using limits = std::numeric_limits<TestType>;
  const std::vector<TestType> good{0, -0.0, limits::max(), limits::lowest(), limits::denorm_min()};
  CHECK(tern::all_finite(std::span<const TestType>(good)));
  CHECK(tern::all_finite(std::span<const TestType>()));
  for (const TestType special :
       {limits::infinity(), -limits::infinity(), limits::quiet_NaN(), -limits::quiet_NaN()}) {
    CHECK_FALSE(tern::is_finite(special));
    for (std::size_t i = 0; i < good.size(); ++i) {
      auto bad = good;
      bad[i] = special;
      CHECK_FALSE(tern::all_finite(std::span<const TestType>(bad)));
    }
  }
}
