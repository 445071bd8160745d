// Windows of text that a model writes by itself.
#include "tern/infer/sample_windows.hpp"

#include <vector>

#include "tern/core/thread_pool.hpp"
#include "tests/small_decoder.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

std::vector<std::vector<std::int32_t>> windows(std::size_t count, std::uint64_t seed,
                                               executor_ref ex = {}) {
  auto model = tern_test::small_decoder(31, 3);
  return sample_windows(
      model, 7, count, 12, seed, [](std::size_t) {}, ex);
}

}  // namespace

TEST_CASE("windows begin with the given token and have the given length") {
  std::vector<std::size_t> steps;
  auto model = tern_test::small_decoder(31, 3);
  const auto w = sample_windows(model, 7, 5, 12, 1, [&](std::size_t n) { steps.push_back(n); });
  REQUIRE(w.size() == 5);
  for (const auto& window : w) {
    CHECK(window.size() == 12);
    CHECK(window[0] == 7);
  }
  CHECK(steps.size() == 11);
  CHECK(steps.back() == 12);
  CHECK(w[0] != w[1]);
}

TEST_CASE("windows depend on the seed alone") {
  const auto five = windows(5, 1);
  thread_pool pool(3);
  CHECK(windows(5, 1, pool) == five);
  CHECK(windows(5, 2) != five);
  const auto two = windows(2, 1);
  CHECK(two[1] == five[1]);
}

TEST_CASE("windows contain no token that must not be drawn") {
  auto model = tern_test::small_decoder(31, 3);
  std::vector<std::int32_t> never;
  for (std::int32_t token = 0; token < 28; ++token) never.push_back(token);
  for (const auto& window : sample_windows(
           model, 30, 3, 12, 1, [](std::size_t) {}, {}, never))
    for (const std::int32_t token : window) CHECK(token >= 28);
}
