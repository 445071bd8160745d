// What a teacher says is the same with and without a cache.
#include "tern/recipe/teacher_outputs.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "tern/recipe/stage_loss.hpp"
#include "tests/small_decoder.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

std::vector<token_example> some_examples() {
  std::vector<token_example> list;
  philox random(4);
  for (std::size_t i = 0; i < 7; ++i) {
    token_example e{{}, 2 + i, 0};
    for (std::size_t k = 0; k < 4 + i; ++k)
      e.tokens.push_back(static_cast<std::int32_t>(random.below(31)));
    list.push_back(std::move(e));
  }
  return list;
}

taps<float> wanted() {
  taps<float> w;
  w.request({1, tap_point::hidden});
  w.request({0, tap_point::k});
  return w;
}

std::vector<float> floats_of(matrix_view<const float> m) { return {m.data, m.data + m.size()}; }

/// All that a teacher says about three micro-batches, which see some examples twice.
std::vector<std::vector<float>> said(teacher_outputs<decoder<>>& teacher, bool every_token,
                                     precision products) {
  const auto examples = some_examples();
  example_batches batches(examples, 4, 9);
  std::vector<std::vector<float>> all;
  for (std::size_t number = 0; number < 3; ++number) {
    micro_batch batch;
    batches.fill(batch, number, every_token);
    all.push_back(floats_of(teacher.ask(batch, products)));
    teacher.activations().for_each(
        [&](const tap&, const variable<float>& v) { all.push_back(floats_of(v.value)); });
  }
  return all;
}

struct cached_teacher {
  tern_test::scratch_dir scratch;
  decoder<> model = tern_test::small_decoder(31, 3);
  bool logits;

  explicit cached_teacher(bool with_logits = true) : logits(with_logits) {}
  teacher_outputs<decoder<>> open(std::uint64_t limit = 1 << 20) {
    teacher_outputs<decoder<>> outputs(model, wanted(), logits, 31);
    std::vector<std::size_t> sizes;
    for (const auto& e : some_examples()) sizes.push_back(outputs.record_size(e.tokens.size() - 1));
    outputs.keep_in(record_cache(scratch.path() / "cache", "a", sizes, limit));
    return outputs;
  }
};

}  // namespace

TEST_CASE("a cache changes no bit of what a teacher says") {
  const bool every_token = GENERATE(false, true), logits = GENERATE(true, false);
  const std::uint64_t limit = GENERATE(0u, 2500u, 1u << 20);
  const precision products = GENERATE(precision::exact, precision::bf16);
  CAPTURE(every_token, logits, limit);
  cached_teacher t(logits);
  teacher_outputs<decoder<>> plain(t.model, wanted(), logits, 31);
  auto cached = t.open(limit);
  const auto expected = said(plain, every_token, products);
  CHECK(said(cached, every_token, products) == expected);
  CHECK(said(cached, every_token, products) == expected);
}

TEST_CASE("a teacher whose words are all in the cache does not run") {
  cached_teacher t;
  auto cached = t.open();
  const auto before = said(cached, true, precision::exact);
  const auto head = matrix<float>(t.model.embedding().weight.value);
  t.model.initialize(17);
  t.model.embedding().weight.value = head;  // logits are made from the cached states
  CHECK(said(cached, true, precision::exact) == before);
  teacher_outputs<decoder<>> plain(t.model, wanted(), true, 31);
  CHECK(said(plain, true, precision::exact) != before);
}

TEST_CASE("a teacher with another number of ids says the logits of the ids that are asked for") {
  cached_teacher t;
  const auto examples = some_examples();
  example_batches batches(examples, 4, 9);
  micro_batch batch;
  batches.fill(batch, 0, true);
  const auto logits = [&](std::size_t vocabulary) {
    teacher_outputs<decoder<>> teacher(t.model, {}, true, vocabulary);
    const auto said = teacher.ask(batch, precision::exact);
    REQUIRE(said.cols == vocabulary);
    std::vector<std::vector<float>> rows;
    for (std::size_t r = 0; r < said.rows; ++r)
      rows.emplace_back(said.row(r).data, said.row(r).data + vocabulary);
    return rows;
  };
  const auto all = logits(31), fewer = logits(20), more = logits(40);
  for (std::size_t r = 0; r < all.size(); ++r) {
    CHECK(std::equal(fewer[r].begin(), fewer[r].end(), all[r].begin()));
    CHECK(std::equal(all[r].begin(), all[r].end(), more[r].begin()));
    CHECK(std::exp(more[r][35]) == 0);
  }
}
