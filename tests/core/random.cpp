// Tests of philox: known answers, distributions, and saved states that continue a sequence.
#include "tern/core/random.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "tests/support.hpp"

using tern::philox;

TEST_CASE("philox gives the published words", "[random]") {
  struct answer {
    std::uint64_t seed, stream, block;
    std::array<std::uint32_t, 4> words;
  };
  const answer known[] = {
#include "tests/oracle/philox.inc"
  };
  for (const answer& a : known) {
    philox random(philox::state{a.seed, a.stream, 4 * a.block});
    for (const std::uint32_t word : a.words) CHECK(random.next() == word);
  }
}

TEST_CASE("philox continues from a saved state at any word", "[random]") {
  philox random(5, 9);
  std::vector<std::uint32_t> all(23);
  for (auto& w : all) w = random.next();
  for (std::size_t cut = 0; cut < all.size(); ++cut) {
    philox first(5, 9);
    for (std::size_t i = 0; i < cut; ++i) first.next();
    philox second(first.save());
    for (std::size_t i = cut; i < all.size(); ++i) REQUIRE(second.next() == all[i]);
  }
}

TEST_CASE("philox streams and seeds differ", "[random]") {
  CHECK(philox(1, 0).next() != philox(1, 1).next());
  CHECK(philox(1, 0).next() != philox(2, 0).next());
}

TEST_CASE("below is uniform over its range", "[random]") {
  philox random(3);
  for (const std::uint32_t n : {1u, 7u, 3u << 30}) {
    std::array<int, 7> count{};
    for (int i = 0; i < 70000; ++i) {
      const std::uint32_t v = random.below(n);
      REQUIRE(v < n);
      ++count[n == 3u << 30 ? v / (n / 6) % 7 : v];
    }
    if (n == 7)
      for (const int c : count) CHECK(std::abs(c - 10000) < 500);
    if (n == 3u << 30)  // a plain remainder would give the first third twice as often
      for (std::size_t i = 0; i < 6; ++i) CHECK(std::abs(count[i] - 11667) < 500);
  }
}

TEST_CASE("uniform and normal have the right moments", "[random]") {
  philox random(11);
  const int n = 200000;
  double mean = 0, square = 0, fourth = 0, uniform = 0;
  for (int i = 0; i < n; ++i) {
    const double u = random.uniform(), z = random.normal();
    REQUIRE((u >= 0 && u < 1));
    REQUIRE(static_cast<double>(static_cast<float>(u)) == u);
    uniform += u / n;
    mean += z / n;
    square += z * z / n;
    fourth += z * z * z * z / n;
  }
  CHECK(uniform == Approx(0.5).margin(0.005));
  CHECK(mean == Approx(0).margin(0.01));
  CHECK(square == Approx(1).margin(0.02));
  CHECK(fourth == Approx(3).margin(0.15));
}

TEST_CASE("shuffle gives each permutation equally often", "[random]") {
  philox random(2);
  std::array<int, 6> count{};
  for (int i = 0; i < 60000; ++i) {
    std::array<int, 3> v{0, 1, 2};
    random.shuffle(v);
    const int order = v[0] * 2 + (v[1] > v[2]);
    std::sort(v.begin(), v.end());
    REQUIRE(v == std::array{0, 1, 2});
    ++count[static_cast<std::size_t>(order)];
  }
  for (const int c : count) CHECK(std::abs(c - 10000) < 500);
}
