// Micro-batches: the targets of examples, the order of a shuffle, and groups sorted by length.
#include "tern/recipe/micro_batches.hpp"

#include <algorithm>
#include <set>

#include "tests/message.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

/// Example i has a prompt of i + 1 tokens and an answer of two tokens.
std::vector<token_example> examples(std::size_t count) {
  std::vector<token_example> list(count);
  for (std::size_t i = 0; i < count; ++i) {
    list[i].answer = i + 1;
    list[i].tokens.assign(i + 1, 5);
    list[i].tokens.push_back(static_cast<std::int32_t>(100 + i));
    list[i].tokens.push_back(9);
  }
  return list;
}

std::vector<std::size_t> lengths(const micro_batch& batch) {
  std::vector<std::size_t> list;
  for (std::size_t s = 0; s < batch.tokens.sequences(); ++s)
    list.push_back(batch.tokens.offsets[s + 1] - batch.tokens.offsets[s]);
  return list;
}

}  // namespace

TEST_CASE("the rows of an example are those from which its answer is predicted") {
  const auto data = examples(1);
  example_batches batches(data, 1, 1);
  micro_batch batch;
  batches.fill(batch, 0, false);
  CHECK(batch.tokens.tokens == std::vector<std::int32_t>{5, 100});
  CHECK(batch.rows == std::vector<std::size_t>{0, 1});
  CHECK(batch.targets == std::vector<std::int32_t>{100, 9});
}

TEST_CASE("with every token, those of the prompt have no target") {
  const auto data = examples(3);
  example_batches batches({&data[2], 1}, 1, 1);
  micro_batch batch;
  batches.fill(batch, 0, true);
  CHECK(batch.rows.empty());
  CHECK(batch.targets == std::vector<std::int32_t>{-100, -100, 102, 9});
}

TEST_CASE("an epoch has every example once") {
  const auto data = examples(12);
  example_batches batches(data, 4, 3);
  micro_batch batch;
  std::multiset<std::int32_t> seen;
  for (std::size_t number = 0; number < 3; ++number) {
    batches.fill(batch, number, false);
    for (std::size_t i = 0; i < batch.targets.size(); i += 2) seen.insert(batch.targets[i]);
  }
  CHECK(seen.size() == 12);
  CHECK(std::set(seen.begin(), seen.end()).size() == 12);
}

TEST_CASE("micro-batches of a group are sorted by length together and hold the same examples") {
  const auto data = examples(12);
  example_batches plain(data, 3, 7), sorted(data, 3, 7, 4);
  micro_batch batch;
  std::multiset<std::size_t> all, grouped;
  std::vector<std::size_t> in_order;
  for (std::size_t number = 0; number < 4; ++number) {
    plain.fill(batch, number, false);
    for (const std::size_t n : lengths(batch)) all.insert(n);
    sorted.fill(batch, number, false);
    for (const std::size_t n : lengths(batch)) in_order.push_back(n);
  }
  CHECK(std::ranges::is_sorted(in_order));
  grouped.insert(in_order.begin(), in_order.end());
  CHECK(grouped == all);
}

TEST_CASE("a micro-batch depends on its number alone") {
  const auto data = examples(7);
  micro_batch ahead, alone;
  example_batches first(data, 3, 2, 2), second(data, 3, 2, 2);
  for (std::size_t number = 0; number < 9; ++number) first.fill(ahead, number, false);
  second.fill(alone, 8, false);
  CHECK(ahead.tokens.tokens == alone.tokens.tokens);
  CHECK(ahead.targets == alone.targets);
}

TEST_CASE("an example without a prompt or without an answer is named") {
  auto data = examples(3);
  const auto make = [&] { example_batches(data, 1, 1); };
  data[1].answer = 0;
  CHECK(tern_test::message_of<config_error>(make) ==
        "example 1: expected tokens of a prompt and of an answer, got the answer at 0 of 4 tokens");
  data[1].answer = 4;
  CHECK(tern_test::message_of<config_error>(make) ==
        "example 1: expected tokens of a prompt and of an answer, got the answer at 4 of 4 tokens");
}

TEST_CASE("a token that the model does not know is told with its example") {
  const auto data = examples(3);  // example i has the token 100 + i
  const bool every_token = GENERATE(false, true);
  example_batches batches(data, 3, 1);
  micro_batch batch;
  batches.fill(batch, 0, every_token);
  CHECK_NOTHROW(require_ids(batch, 103));
  CHECK(tern_test::message_of<config_error>([&] { require_ids(batch, 102); }) ==
        "example 2: token 102 is outside [0, 102)");
}

TEST_CASE("a target that the model does not know is told with its example") {
  auto data = examples(2);
  data[1].tokens.back() = -1;  // the last token is a target only
  example_batches batches(data, 2, 1);
  micro_batch batch;
  batches.fill(batch, 0, false);
  CHECK(tern_test::message_of<config_error>([&] { require_ids(batch, 200); }) ==
        "example 1: token -1 is outside [0, 200)");
}
