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

TEST_CASE("greedy takes the largest logit, and the lowest of equal ones") {
  sampler greedy({}, 4);
  CHECK(greedy(row({1, 5, 5, 4}), {}) == 1);
}

TEST_CASE("greedy takes the largest logit after the penalty") {
  sampler penal({.repetition_penalty = 1.5}, 4);
  CHECK(penal(row({1, 5, 5, 4}), std::vector<std::int32_t>{1, 2, 1}) == 3);
  CHECK(penal(row({-4, -1, -1.2f, -9}), std::vector<std::int32_t>{1}) == 2);
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

TEST_CASE("tokens that must not be drawn never are") {
  const std::vector<std::int32_t> never{1, 2};
  sampler greedy({}, 4, never);
  CHECK(greedy(row({1, 9, 9, 4}), {}) == 3);
  const auto options = GENERATE(values<sampling_options>(
      {{.temperature = 5}, {.temperature = 5, .top_k = 3}, {.temperature = 5, .top_p = 0.9}}));
  sampler draw(options, 4, never);
  for (int i = 0; i < 300; ++i) {
    const std::int32_t token = draw(row({0, 9, 9, 0}), {});
    CHECK((token == 0 || token == 3));
  }
}

TEST_CASE("a token that must not be drawn has to be in the vocabulary") {
  CHECK(tern_test::message_of<config_error>([] { sampler({}, 4, {4}); }) ==
        "sampling: token 4 is not in the vocabulary");
}

TEST_CASE("an option out of range is refused by its name") {
  const auto [options, message] = GENERATE(table<sampling_options, const char*>(
      {{{.temperature = -1}, "sampling: temperature must be 0 or more"},
       {{.top_p = 0}, "sampling: top_p must be above 0 and at most 1"},
       {{.min_p = 1.5}, "sampling: min_p must be between 0 and 1"},
       {{.repetition_penalty = 0}, "sampling: repetition_penalty must be positive"}}));
  CHECK(tern_test::message_of<config_error>([o = options] { sampler(o, 4); }) == message);
}

TEST_CASE("a largest logit that is not finite is refused") {
  sampler s({}, 4);
  CHECK_THROWS_AS(s(row({0, 1, NAN, INFINITY}), {}), numeric_error);
}

TEST_CASE("another number of logits than tokens is refused") {
  sampler s({}, 4);
  CHECK_THROWS_AS(s(row(logits), {}), shape_error);
}

TEST_CASE("a history with a token outside of the vocabulary is refused") {
  sampler s({.repetition_penalty = 2}, 4);
  CHECK_THROWS_AS(s(row({0, 1, 2, 3}), std::vector<std::int32_t>{4}), shape_error);
}
