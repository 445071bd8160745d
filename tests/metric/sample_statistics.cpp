#include "tern/metric/sample_statistics.hpp"

#include <catch2/catch.hpp>
#include <utility>

#include "../oracle/sample_statistics.inc"

using namespace tern;

TEST_CASE("Student's t is SciPy's") {
  for (const auto& [freedom, expected] : sample_statistics_case::t95) {
    CAPTURE(freedom);
    CHECK(student_t95(freedom) == Approx(expected).epsilon(0).margin(2e-5));
  }
  CHECK_THROWS_AS(student_t95(0), config_error);
}

TEST_CASE("a paired difference is SciPy's") {
  namespace expected = sample_statistics_case;
  const auto pair = compare_pairs(expected::first, expected::second);
  CHECK(pair.difference.count == 4);
  CHECK(pair.difference.mean == Approx(expected::mean));
  CHECK(pair.difference.standard_error() == Approx(expected::error));
  CHECK(pair.distinguishable == (expected::p_value < 0.05));
}

TEST_CASE("differences that are small beside their spread are not distinguishable") {
  const double first[] = {90, 92, 94}, second[] = {91, 90, 93};
  CHECK_FALSE(compare_pairs(first, second).distinguishable);
  // With three pairs 0 must lie 4.303 standard errors from the mean.
  const double a[] = {0, 0, 0}, just[] = {4.2, 4.2 + 1.732, 4.2 - 1.732},
               more[] = {4.4, 4.4 + 1.732, 4.4 - 1.732};
  CHECK_FALSE(compare_pairs(just, a).distinguishable);
  CHECK(compare_pairs(more, a).distinguishable);
}

TEST_CASE("one pair is never distinguishable") {
  const double first[] = {90}, second[] = {10};
  const auto pair = compare_pairs(first, second);
  CHECK_FALSE(pair.distinguishable);
  CHECK(pair.difference.mean == 80);
  CHECK(pair.difference.standard_error() == 0);
}

TEST_CASE("statistics of nothing and of unequal lengths are refused") {
  const double two[] = {1, 2}, one[] = {1};
  CHECK_THROWS_AS(statistics_of({}), config_error);
  CHECK_THROWS_AS(compare_pairs(two, one), shape_error);
}
