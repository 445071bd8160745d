// Tests of RoPE: values of Hugging Face, both pairings, gradient, relative positions, threads.
#include "tern/nn/rope.hpp"

#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "tern/core/thread_pool.hpp"
#include "tests/gradient_check.hpp"
#include "tests/oracle/nn.inc"

using tern::rope_pairing;
using tern_test::random_matrix;
using rope_op = tern::rope<double>;

TEST_CASE("rope rotates each pair by position * theta^(-2i/D)", "[rope]") {
  const auto pairing = GENERATE(rope_pairing::halves, rope_pairing::adjacent);
  const std::size_t heads = 3, d = 10, half = d / 2;
  const tern::rope_table<double> table(d, 1e4, 100, pairing);
  const std::vector<std::int32_t> positions{0, 1, 57, 99};
  const auto x = random_matrix<double>(4, heads * d, 1);
  const bool columns = GENERATE(false, true);
  tern::matrix<double> row_major = x;
  Eigen::MatrixXd column_major = x;
  const tern::matrix_view<double> y =
      columns ? tern::matrix_view<double>(column_major) : tern::matrix_view<double>(row_major);
  rope_op::forward(y, positions, table);
  const tern::matrix_view<const double> in(x);
  for (std::size_t n = 0; n < 4; ++n)
    for (std::size_t h = 0; h < heads; ++h)
      for (std::size_t i = 0; i < half; ++i) {
        const double angle = positions[n] * std::pow(1e4, -2.0 * static_cast<double>(i) / d);
        const std::size_t a = h * d + (pairing == rope_pairing::halves ? i : 2 * i);
        const std::size_t b = a + (pairing == rope_pairing::halves ? half : 1);
        CHECK(y(n, a) ==
              Approx(in(n, a) * std::cos(angle) - in(n, b) * std::sin(angle)).margin(1e-12));
        CHECK(y(n, b) ==
              Approx(in(n, b) * std::cos(angle) + in(n, a) * std::sin(angle)).margin(1e-12));
      }
}

TEST_CASE("rope equals Hugging Face's Qwen3", "[rope]") {
  const tern::rope_table<float> table(8, 1e6, 301);
  auto x = tern_test::values<float>(rope_values::x, 4, 16);
  tern::rope<float>::forward(x, rope_values::positions, table);
  CHECK(tern_test::largest_difference(x, rope_values::y) < 1e-5);
}

TEST_CASE("frequencies are scaled as the rule says", "[rope]") {
  using enum tern::rope_scaling_kind;
  const tern::rope_scaling linear_4{linear, 4}, llama3_8{llama3, 8, 1, 4, 8192};
  // Frequency i of Llama 3.1. The scaled ones are those of Hugging Face.
  const auto at = [](double i) { return std::pow(5e5, -2 * i / 128); };
  const auto [name, scaling, frequency, scaled, tolerance] =
      GENERATE_COPY(table<const char*, tern::rope_scaling, double, double, double>(
          {{"none", {}, 0.6, 0.6, 0},
           {"linear", linear_4, 0.6, 0.15, 1e-6},
           {"llama3, a short wave", llama3_8, at(10), at(10), 0},
           {"llama3, a middle wave", llama3_8, at(31), 0.00085675146, 1e-6},
           {"llama3, another middle wave", llama3_8, at(33), 0.00031269365, 1e-6},
           {"llama3, a long wave", llama3_8, at(50), at(50) / 8, 0}}));
  INFO(name);
  CHECK(scaling.scaled(frequency) == Approx(scaled).epsilon(tolerance));
}

TEST_CASE("a table uses the scaled frequencies", "[rope]") {
  const tern::rope_table<double> table(2, 1e4, 9, rope_pairing::halves,
                                       {tern::rope_scaling_kind::linear, 4});
  CHECK(table.sines(8)[0] == Approx(std::sin(2.0)));
}

TEST_CASE("a table refuses factors out of range", "[rope]") {
  using enum tern::rope_scaling_kind;
  const auto [name, bad] = GENERATE(table<const char*, tern::rope_scaling>(
      {{"no factor", {linear, 0}},
       {"no frequencies between", {llama3, 8, 4, 4, 8192}},
       {"no context of pretraining", {llama3, 8, 1, 4, 0}}}));
  INFO(name);
  CHECK_THROWS_AS(tern::rope_table<float>(8, 1e4, 10, rope_pairing::halves, bad),
                  tern::config_error);
}

TEST_CASE("rope's gradient agrees with central differences", "[rope][gradient]") {
  const tern::rope_table<double> table(6, 100, 50);
  const std::vector<std::int32_t> positions{3, 0, 49};
  auto x = random_matrix<double>(3, 12, 1);
  const auto dy = random_matrix<double>(3, 12, 2);
  tern::matrix<double> dx = dy;
  rope_op::backward(dx, positions, table);
  tern_test::check_gradient(
      [&] {
        tern::matrix<double> y = x;
        rope_op::forward(y, positions, table);
        return tern_test::weighted_sum<double>(y, dy);
      },
      x, dx);
}

TEST_CASE("scores of rotated vectors depend on the distance of their positions alone", "[rope]") {
  const tern::rope_table<double> table(64, 1e6, 400);
  const auto q = random_matrix<double>(1, 64, 1), k = random_matrix<double>(1, 64, 2);
  const auto score = [&](std::int32_t at_q, std::int32_t at_k) {
    tern::matrix<double> a = q, b = k;
    rope_op::forward(a, std::vector{at_q}, table);
    rope_op::forward(b, std::vector{at_k}, table);
    return a.row(0).dot(b.row(0));
  };
  CHECK(score(7, 3) == Approx(score(307, 303)).epsilon(1e-11));
  CHECK(score(7, 3) != Approx(score(8, 3)).epsilon(1e-6));
}

TEST_CASE("rope is bit-identical for any number of threads", "[rope][threads]") {
  const tern::rope_table<float> table(64, 1e4, 512);
  std::vector<std::int32_t> positions(500);
  std::iota(positions.begin(), positions.end(), 0);
  const auto x = random_matrix<float>(500, 256, 1);
  tern::matrix<float> serial = x;
  tern::rope<float>::forward(serial, positions, table);
  for (const std::size_t threads : {1u, 2u, 3u}) {
    tern::thread_pool pool(threads);
    tern::matrix<float> y = x;
    tern::rope<float>::forward(y, positions, table, pool);
    CHECK(y == serial);
  }
}

TEST_CASE("a table refuses an odd head_dim and a theta of 0", "[rope]") {
  CHECK_THROWS_AS(tern::rope_table<float>(7, 1e4, 10), tern::config_error);
  CHECK_THROWS_AS(tern::rope_table<float>(8, 0, 10), tern::config_error);
}

TEST_CASE("rope refuses positions that its table does not hold", "[rope]") {
  const std::int32_t position = GENERATE(10, -1);
  const tern::rope_table<double> table(4, 1e4, 10);
  tern::matrix<double> x(1, 8);
  CHECK_THROWS_WITH(rope_op::forward(x, std::vector{position}, table),
                    "rope: position " + std::to_string(position) + " is outside the table of 10");
}

TEST_CASE("rope refuses rows that are not whole heads", "[rope]") {
  const tern::rope_table<double> table(4, 1e4, 10);
  tern::matrix<double> odd(1, 6);
  CHECK_THROWS_AS(rope_op::forward(odd, std::vector{0}, table), tern::shape_error);
}

TEST_CASE("an extended table has the values of a larger one", "[rope]") {
  tern::rope_table<double> extended(4, 1e4, 10);
  extended.extend(11);
  CHECK(extended.max_positions() == 11);
  CHECK(extended.sines(10)[1] == tern::rope_table<double>(4, 1e4, 11).sines(10)[1]);
}

TEST_CASE("a table that is extended to fewer positions stays as it is", "[rope]") {
  tern::rope_table<double> extended(4, 1e4, 10);
  extended.extend(5);
  CHECK(extended.max_positions() == 10);
}
