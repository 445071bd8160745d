// Sequences that join and leave: each gets the bits that it gets alone.
#include "tern/infer/continuous_batch.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tern/core/random.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/infer/growing_answer.hpp"
#include "tern/model/pack_model.hpp"
#include "tern/model/surgery.hpp"
#include "tern/quant/absmax_groups.hpp"
#include "tests/message.hpp"
#include "tests/small_decoder.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

decoder<> batched_model(bool packed) {
  auto config = tern_test::small_config(60);
  config.hidden_size = 64;
  config.max_position_embeddings = 400;
  decoder<> model(config);
  model.initialize(3);
  if (!packed) return model;
  insert_sub_ln(model);
  make_ternary(model);
  pack_ternary<base3>(model);
  pack_projection<eight_bit>(model.head_projection(), absmax_groups<8, 256>{});
  return model;
}

std::vector<std::int32_t> prompt_of(std::size_t length, std::uint64_t seed) {
  philox random(seed);
  std::vector<std::int32_t> tokens(length);
  for (auto& t : tokens) t = static_cast<std::int32_t>(random.below(60));
  return tokens;
}

/// What one request asks for, and what it got.
struct request {
  std::vector<std::int32_t> prompt;
  std::size_t joins = 0;       ///< step before which it joins
  std::size_t max_tokens = 8;  ///< it leaves after so many
  double temperature = 0;
  std::optional<growing_answer> answer{};
  std::vector<float> logits{};  ///< all that it got, one row after another

  bool operator==(const request& other) const {
    return answer->result().tokens == other.answer->result().tokens && logits == other.logits;
  }
};

constexpr std::size_t chunk = 48;

/// Serves the requests in a session of `sequences` sequences. Each joins as soon as it may and a
/// place is free.
void serve(decoder<>& model, std::span<request> requests, std::size_t sequences,
           executor_ref ex = {}, std::size_t capacity = 300) {
  session<> s(model, {.sequences = sequences, .capacity = capacity, .chunk = chunk}, ex);
  continuous_batch batch(s);
  std::map<std::size_t, request*> at;
  std::size_t waiting = 0;
  for (std::size_t step = 0; waiting < requests.size() || batch.size() > 0; ++step) {
    while (!batch.full() && waiting < requests.size() && requests[waiting].joins <= step) {
      request& r = requests[waiting];
      r.answer.emplace(
          r.prompt,
          generation_options{.sampling = {.temperature = r.temperature, .seed = waiting},
                             .max_tokens = r.max_tokens},
          60);
      at[batch.join(r.prompt)] = &r;
      ++waiting;
    }
    batch.step([&](std::size_t place, row_view<const float> row) -> std::optional<std::int32_t> {
      request& r = *at.at(place);
      r.logits.insert(r.logits.end(), row.data, row.data + row.size);
      r.answer->take(row, no_text{});
      if (r.answer->ended()) return {};
      return r.answer->last();
    });
  }
}

std::vector<request> mixed_requests() {
  std::vector<request> all;
  for (const std::size_t length : {1u, 130u, 7u, 47u, 48u, 49u, 97u, 20u, 2u, 60u, 5u})
    all.push_back({prompt_of(length, length), all.size() / 2, 3 + length % 7,
                   all.size() % 2 == 0 ? 0.0 : 1.5});
  return all;
}

}  // namespace

TEST_CASE("a request gets the same bits alone and beside others") {
  const bool packed = GENERATE(false, true);
  const std::size_t sequences = GENERATE(2u, 4u, 11u);
  INFO((packed ? "packed, " : "floats, ") << sequences << " sequences");
  auto model = batched_model(packed);
  auto together = mixed_requests();
  thread_pool pool(2);
  serve(model, together, sequences, pool);
  for (std::size_t i = 0; i < together.size(); ++i) {
    INFO("request " << i);
    auto requests = mixed_requests();
    for (request& r : requests) r.joins = 0;
    serve(model, std::span(requests).first(i + 1), 1);  // one after another
    CHECK(requests[i] == together[i]);
  }
}

TEST_CASE("a prompt is read as session::append() reads it") {
  auto model = batched_model(true);
  std::vector<request> one{{prompt_of(200, 1), 0, 1}};
  serve(model, one, 3);
  session<> s(model, {.capacity = 300, .chunk = chunk});
  const auto row = s.append(one[0].prompt);
  CHECK(one[0].logits == std::vector<float>(row.data, row.data + row.size));
}

TEST_CASE("prompts too long for a pass with others give the same bits, too") {
  auto model = batched_model(false);
  session<> s(model, {.sequences = 3, .capacity = 300});  // chunks of 300
  session<> single(model, {.capacity = 300});
  continuous_batch batch(s);
  std::map<std::size_t, std::vector<std::int32_t>> prompts;
  for (const std::size_t n : {128u, 200u, 127u})
    prompts[batch.join(prompt_of(n, n))] = prompt_of(n, n);
  std::size_t seen = 0;
  for (int step = 0; step < 4; ++step)
    batch.step([&](std::size_t place, row_view<const float> row) -> std::optional<std::int32_t> {
      single.truncate(0, 0);
      const auto expected = single.append(prompts.at(place));
      CHECK(std::equal(row.data, row.data + row.size, expected.data));
      ++seen;
      return {};
    });
  CHECK(seen == 3);
}

TEST_CASE("a place is free again after its sequence left between steps") {
  auto model = batched_model(false);
  session<> s(model, {.sequences = 1, .capacity = 20});
  continuous_batch batch(s);
  const auto go_on = [](std::size_t, row_view<const float>) { return std::optional(1); };
  const std::size_t place = batch.join(prompt_of(5, 1));
  CHECK(batch.full());
  batch.step(go_on);
  batch.leave(place);
  CHECK(batch.size() == 0);
  CHECK(batch.join(prompt_of(3, 2)) == place);
  batch.step(go_on);
  CHECK(s.length(place) == 3);  // nothing is left of the first one
}

TEST_CASE("those who stay notice nothing of one who leaves") {
  auto model = batched_model(true);
  const auto logits_of = [&](bool other_leaves) {
    session<> s(model, {.sequences = 2, .capacity = 40});
    continuous_batch batch(s);
    std::vector<float> logits;
    const std::size_t other = batch.join(prompt_of(9, 1)), place = batch.join(prompt_of(6, 2));
    for (int step = 0; step < 6; ++step) {
      if (other_leaves && step == 3) batch.leave(other);
      batch.step([&](std::size_t index, row_view<const float> row) {
        if (index == place) logits.insert(logits.end(), row.data, row.data + row.size);
        return std::optional(7);
      });
    }
    return logits;
  };
  CHECK(logits_of(true) == logits_of(false));
}

TEST_CASE("a sequence that is full leaves") {
  auto model = batched_model(false);
  session<> s(model, {.sequences = 1, .capacity = 8});
  continuous_batch batch(s);
  batch.join(prompt_of(6, 1));
  std::vector<bool> room;
  while (batch.size() > 0)
    batch.step([&](std::size_t place, row_view<const float>) {
      room.push_back(batch.has_room(place));
      return std::optional(2);
    });
  CHECK(room == std::vector<bool>{true, true, false});
}

TEST_CASE("a batch goes on after an exception once it is cleared") {
  auto model = batched_model(false);
  session<> s(model, {.sequences = 2, .capacity = 20});
  continuous_batch batch(s);
  batch.join(prompt_of(3, 1));
  batch.join(prompt_of(4, 2));
  const auto fail = [](std::size_t, row_view<const float>) -> std::optional<std::int32_t> {
    throw numeric_error("test");
  };
  CHECK_THROWS_AS(batch.step(fail), numeric_error);
  batch.clear();
  CHECK(batch.size() == 0);
  std::vector<request> expected{{prompt_of(4, 2), 0, 1}};
  serve(model, expected, 1);
  batch.join(prompt_of(4, 2));
  batch.step([&](std::size_t, row_view<const float> row) -> std::optional<std::int32_t> {
    CHECK(expected[0].logits == std::vector<float>(row.data, row.data + row.size));
    return {};
  });
}

TEST_CASE("a batch refuses what it cannot read") {
  auto model = batched_model(false);
  session<> s(model, {.sequences = 1, .capacity = 8});
  continuous_batch batch(s);
  const auto [name, prompt, message] =
      GENERATE(table<std::string, std::vector<std::int32_t>, std::string>(
          {{"empty", {}, "the prompt is empty"},
           {"long", std::vector<std::int32_t>(9, 1), "has 9 tokens, but a sequence holds 8"},
           {"negative", {3, -1}, "token -1 is not in the vocabulary"},
           {"unknown", {60}, "token 60 is not in the vocabulary"}}));
  INFO(name);
  const auto said = tern_test::message_of<config_error>([&] { batch.join(prompt); });
  CHECK(said.find(message) != std::string::npos);
  CHECK(batch.size() == 0);
  batch.join({1});
  CHECK_THROWS_AS(batch.join({1}), config_error);
}
