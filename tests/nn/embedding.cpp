// Tests of the embedding: values, gradients with repeated tokens, threads, ids outside the table.
#include "tern/nn/embedding.hpp"

#include <vector>

#include "tern/core/executor.hpp"
#include "tern/core/thread_pool.hpp"
#include "tests/gradient_check.hpp"

using tern_test::random_matrix;
using embedding_op = tern::embedding<double>;

TEST_CASE("embedding copies rows and sums the gradients of repeated tokens",
          "[embedding][gradient]") {
  const std::vector<std::int32_t> tokens{2, 0, 2, 4};
  auto table = random_matrix<double>(5, 6, 1);
  const auto dy = random_matrix<double>(4, 6, 2);
  const double scale = GENERATE(1.0, 2.5);
  tern::matrix<double> y(4, 6), dtable = tern::matrix<double>::Zero(5, 6);
  embedding_op::forward(tokens, table, y, {}, scale);
  for (std::size_t i = 0; i < tokens.size(); ++i)
    CHECK(y.row(static_cast<int>(i)) == scale * table.row(tokens[i]));
  embedding_op::backward(dy, tokens, dtable, {}, scale);
  tern_test::check_gradient(
      [&] {
        embedding_op::forward(tokens, table, y, {}, scale);
        return tern_test::weighted_sum<double>(y, dy);
      },
      table, dtable);
}

TEST_CASE("embedding's gradient is bit-identical for any number of threads",
          "[embedding][threads]") {
  tern::philox random(3);
  std::vector<std::int32_t> tokens(2000);
  for (auto& t : tokens) t = static_cast<std::int32_t>(random.below(50));
  const auto dy = random_matrix<float>(2000, 70, 4), table = random_matrix<float>(50, 70, 5);
  const auto results = [&](tern::executor_ref ex) {
    tern::matrix<float> y(2000, 70), dtable = tern::matrix<float>::Zero(50, 70);
    tern::embedding<float>::forward(tokens, table, y, ex);
    tern::embedding<float>::backward(dy, tokens, dtable, ex);
    return std::vector{y, dtable};
  };
  const auto serial = results({});
  for (const std::size_t threads : {1u, 2u, 3u}) {
    tern::thread_pool pool(threads);
    CHECK(results(pool) == serial);
  }
}

TEST_CASE("embedding names position and id of a token outside the table", "[embedding]") {
  const auto table = random_matrix<double>(5, 6, 1);
  tern::matrix<double> y(3, 6), dtable(5, 6);
  const std::int32_t bad = GENERATE(5, -1);
  const std::vector<std::int32_t> tokens{0, bad, 1};
  const std::string message =
      "embedding: token 1 has id " + std::to_string(bad) + ", the table has 5 rows";
  CHECK_THROWS_WITH(embedding_op::forward(tokens, table, y), message);
  CHECK_THROWS_AS(embedding_op::backward(y, tokens, dtable), tern::config_error);
}
