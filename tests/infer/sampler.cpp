#include "tern/infer/sampler.hpp"

#include <cmath>
#include <vector>

#include "tests/message.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace oracle {
#include "tests/oracle/sampler.inc"
}

namespace {

const std::vector<float> logits(std::begin(oracle::logits), std::end(oracle::logits));

row_view<const float> row(const std::vector<float>& v) { return {v.data(), v.size()}; }

}  // namespace

TEST_CASE("tokens are drawn with the probabilities of transformers") {
  constexpr int draws = 20000;
  const std::size_t n = logits.size();
  for (std::size_t c = 0; c < std::size(oracle::cases); ++c) {
    sampler draw(oracle::cases[c], n);
    std::vector<int> counts(n);
    for (int i = 0; i < draws; ++i)
      ++counts[static_cast<std::size_t>(draw(row(logits), oracle::history))];
    for (std::size_t t = 0; t < n; ++t) {
      const double p = oracle::probabilities[c * n + t];
      INFO("case " << c << ", token " << t << ", p = " << p);
      if (p == 0) CHECK(counts[t] == 0);
      const double deviation = std::sqrt(draws * p * (1 - p));
      CHECK(std::abs(counts[t] - draws * p) <= 4.5 * deviation);
    }
  }
}

TEST_CASE("greedy takes the largest logit after the penalty") {
  std::vector<float> scores{1, 5, 5, 4};
  sampler greedy({}, 4);
  CHECK(greedy(row(scores), {}) == 1);
  sampler penal({.repetition_penalty = 1.5}, 4);
  const std::vector<std::int32_t> seen{1, 2, 1};
  CHECK(penal(row(scores), seen) == 3);
  scores = {-4, -1, -1.2f, -9};
  CHECK(penal(row(scores), std::vector<std::int32_t>{1}) == 2);
}

TEST_CASE("the same seed draws the same tokens") {
  const auto tokens = [](std::uint64_t seed) {
    sampler draw({.temperature = 2, .top_p = 0.95, .seed = seed}, logits.size());
    std::vector<std::int32_t> all;
    for (int i = 0; i < 50; ++i) all.push_back(draw(row(logits), {}));
    return all;
  };
  CHECK(tokens(1) == tokens(1));
  CHECK(tokens(1) != tokens(2));
}

TEST_CASE("top-p over a large flat vocabulary keeps its share") {
  std::vector<float> flat(5000);
  for (std::size_t i = 0; i < flat.size(); ++i) flat[i] = i % 2 == 0 ? 0.0f : -1e-3f;
  sampler draw({.temperature = 1, .top_p = 0.4, .seed = 3}, flat.size());
  for (int i = 0; i < 200; ++i) {
    const std::int32_t t = draw(row(flat), {});
    CHECK(t % 2 == 0);
    CHECK(t < 4000);  // about the first 2,000 even tokens have 0.4 of the weight
  }
}

TEST_CASE("options and logits out of range are refused") {
  using tern_test::message_of;
  const auto complaint = [](const sampling_options& o) {
    return message_of<config_error>([&] { sampler(o, 4); });
  };
  CHECK(complaint({.temperature = -1}) == "sampling: temperature must be 0 or more");
  CHECK(complaint({.top_p = 0}) == "sampling: top_p must be above 0 and at most 1");
  CHECK(complaint({.min_p = 1.5}) == "sampling: min_p must be between 0 and 1");
  CHECK(complaint({.repetition_penalty = 0}) == "sampling: repetition_penalty must be positive");
  sampler s({.repetition_penalty = 2}, 4);
  const std::vector<float> nan{0, 1, NAN, INFINITY}, good{0, 1, 2, 3};
  CHECK_THROWS_AS(s(row(nan), {}), numeric_error);
  CHECK_THROWS_AS(s(row(logits), {}), shape_error);
  CHECK_THROWS_AS(s(row(good), std::vector<std::int32_t>{4}), shape_error);
}
