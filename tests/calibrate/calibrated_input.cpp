// Tokens with huge activations count less in the moments.
#include "tern/calibrate/calibrated_input.hpp"

#include <algorithm>
#include <vector>

#include "calibrated.hpp"

using namespace tern;
using tern_test::random_matrix;

TEST_CASE("the weight of a sink falls with the square of its size") {
  matrix<float> x(40, 8), f(40, 8);
  x.fill(1);
  f.fill(1);
  std::vector<float> hidden(40, 1.0f);
  x.row(3).fill(20);
  f.row(5).fill(40);
  hidden[7] = 30;
  hidden[3] = 15;  // less than x says
  calibration_options options;
  options.sink_ratio = 10;
  const calibrated_input<float> input(x, f, hidden, options, {});
  std::vector<float> expected(40, 1.0f);
  expected[3] = 1.0f / 4;
  expected[5] = 1.0f / 16;
  expected[7] = 1.0f / 9;
  for (std::size_t i = 0; i < 40; ++i) CHECK(input.weights()[i] == Approx(expected[i]));
  CHECK(input.sinks() == 3);
  CHECK(input.moments().weight == Approx(37 + 1.0 / 4 + 1.0 / 16 + 1.0 / 9));
}

TEST_CASE("without a ratio no token is a sink") {
  matrix<float> x = random_matrix<float>(20, 8, 1);
  x.row(3) *= 1000.0f;
  calibration_options options;
  options.sink_ratio = 0;
  const calibrated_input<float> input(x, x, std::vector<float>(20, 1.0f), options, {});
  CHECK(input.sinks() == 0);
  CHECK(std::ranges::count(input.weights(), 1.0f) == 20);
}
