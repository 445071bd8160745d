// What the functions on the tape add to their ops.
#include "tern/nn/graph.hpp"

#include "tests/gradient_check.hpp"

using namespace tern;
using namespace tern_test;

TEST_CASE("rms_norm on the tape: several heads a row, gains with an offset", "[graph][gradient]") {
  const double offset = GENERATE(0.0, 1.0);
  auto x = random_matrix<double>(3, 10, 1), gain = random_matrix<double>(1, 5, 2, 0.3);
  const auto dy = random_matrix<double>(3, 10, 3);
  matrix<double> dx = matrix<double>::Zero(3, 10), dgain = matrix<double>::Zero(1, 5);
  const auto run = [&](tape<double>& t) {
    return graph::rms_norm<double>(t, {x, dx}, {gain, dgain}, 1e-3, offset);
  };
  tape<double> t;
  const auto y = run(t);
  const double rms = std::sqrt(x.row(1).tail(5).squaredNorm() / 5 + 1e-3);
  CHECK(y.value(1, 7) == Approx(x(1, 7) / rms * (offset + gain(0, 2))));
  for (std::size_t r = 0; r < 3; ++r)
    simd::axpy<double>(1, matrix_view<const double>(dy).row(r), y.grad.row(r));
  t.backward();
  const auto loss = [&] {
    tape<double> inference({}, false);
    return weighted_sum<double>(run(inference).value, dy);
  };
  check_gradient(loss, x, dx);
  check_gradient(loss, gain, dgain);
}
