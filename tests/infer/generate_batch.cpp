// Many prompts in one session: the answers are those of one prompt after another.
#include "tern/infer/generate_batch.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "tests/small_decoder.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

std::vector<std::vector<std::int32_t>> prompts() {
  std::vector<std::vector<std::int32_t>> list(9);
  philox random(2);
  for (auto& p : list) {
    p.resize(1 + random.below(12));
    for (auto& token : p) token = static_cast<std::int32_t>(random.below(40));
  }
  return list;
}

std::vector<std::vector<std::int32_t>> answers_of(decoder<>& model, std::size_t sequences,
                                                  const batch_generation_options& options,
                                                  std::size_t capacity = 40) {
  session<> s(model, {.sequences = sequences, .capacity = capacity, .storage = kv_storage::f32});
  const auto list = prompts();
  const std::vector<std::span<const std::int32_t>> views(list.begin(), list.end());
  std::size_t last = 0;
  auto result = generate_batch(s, views, options, [&](std::size_t n) { CHECK(n == ++last); });
  CHECK(last == views.size());
  return result;
}

/// Greedy, with the whole text anew for each token.
std::vector<std::int32_t> by_hand(decoder<>& model, std::vector<std::int32_t> tokens,
                                  const batch_generation_options& options) {
  std::vector<std::int32_t> answer;
  while (answer.size() < options.max_tokens) {
    tape<float> t({}, false);
    token_batch batch;
    batch.add(tokens);
    const std::vector<std::size_t> last{tokens.size() - 1};
    const matrix_view<float> z = model.logits(t, model.hidden(t, batch, last)).value;
    const auto next = static_cast<std::int32_t>(std::max_element(z.data, z.data + z.cols) - z.data);
    if (std::ranges::count(options.stop_tokens, next) != 0) break;
    answer.push_back(next);
    tokens.push_back(next);
  }
  return answer;
}

}  // namespace

TEST_CASE("answers do not depend on how many prompts go together") {
  auto model = tern_test::small_decoder(40, 8);
  const batch_generation_options options{10, {3, 5, 11, 17, 23, 31}};
  const auto list = prompts();
  std::vector<std::vector<std::int32_t>> expected;
  for (const auto& p : list) expected.push_back(by_hand(model, p, options));
  CHECK(std::ranges::any_of(expected, [](const auto& a) { return a.size() < 10; }));
  CHECK(std::ranges::any_of(expected, [](const auto& a) { return a.size() == 10; }));
  for (const std::size_t sequences : {1u, 3u, 9u}) {
    CAPTURE(sequences);
    CHECK(answers_of(model, sequences, options) == expected);
  }
}

TEST_CASE("an answer ends where its sequence is full") {
  auto model = tern_test::small_decoder(40, 8);
  const auto list = prompts();
  const auto found = answers_of(model, 2, {100, {}}, 16);
  // The last token is not taken in any more, so there is one more than there are places.
  for (std::size_t i = 0; i < list.size(); ++i) CHECK(found[i].size() == 16 - list[i].size() + 1);
}

TEST_CASE("tokens that must not be chosen are in no answer") {
  auto model = tern_test::small_decoder(40, 8);
  const auto free = answers_of(model, 2, {10, {}, {}});
  const std::int32_t token = free[0][0];
  for (const auto& answer : answers_of(model, 2, {10, {}, {token}}))
    CHECK(std::ranges::count(answer, token) == 0);
  CHECK_THROWS_AS(answers_of(model, 2, {10, {}, {40}}), config_error);
}

TEST_CASE("no tokens are wanted") {
  auto model = tern_test::small_decoder(40, 8);
  for (const auto& answer : answers_of(model, 2, {0, {}})) CHECK(answer.empty());
}

TEST_CASE("a model that computes no logits is refused when it answers a batch") {
  auto model = tern_test::small_decoder<>(40, 5);
  model.layers()[1].down.weight.value(0, 0) = std::numeric_limits<float>::quiet_NaN();
  session<> s(model, {.capacity = 40});
  const auto list = prompts();
  const std::vector<std::span<const std::int32_t>> views(list.begin(), list.end());
  CHECK_THROWS_AS(generate_batch(s, views, {.max_tokens = 2}, [](std::size_t) {}), numeric_error);
}
