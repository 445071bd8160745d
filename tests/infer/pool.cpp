// Embeddings: what pool() makes of known hidden states, and what embed() makes of the hidden states
// of a model.
#include "tern/infer/pool.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "tern/core/thread_pool.hpp"
#include "tern/model/pack_model.hpp"
#include "tern/model/surgery.hpp"
#include "tern/pack/two_bit.hpp"
#include "tests/message.hpp"
#include "tests/small_decoder.hpp"
#include "tests/support.hpp"

using namespace tern;
using namespace tern_test;

namespace {

const std::vector<std::int32_t> long_text{3, 1, 4, 1, 5, 9, 2, 6}, short_text{7, 2};

token_batch both_texts() {
  token_batch batch;
  batch.add(long_text);
  batch.add(short_text);
  return batch;
}

template <class Model>
matrix<float> embedded(Model& model, const token_batch& batch, const pooling_rule& rule,
                       executor_ref ex = {}) {
  matrix<float> out(static_cast<Eigen::Index>(batch.sequences()),
                    static_cast<Eigen::Index>(model.config().hidden_size));
  embed(model, batch, rule, matrix_view<float>(out), ex);
  return out;
}

}  // namespace

TEST_CASE("pool takes the last, the mean or the first hidden state of each sequence", "[pool]") {
  const auto [name, rule, expected] =
      GENERATE(table<std::string, pooling_rule, std::array<float, 4>>({
          {"last", {pooling::last, false}, {-3, 4, 8, -6}},
          {"mean", {pooling::mean, false}, {-1, 3, 8, -6}},
          {"first", {pooling::first, false}, {1, 2, 8, -6}},
          {"last, normalized", {pooling::last, true}, {-0.6f, 0.8f, 0.8f, -0.6f}},
      }));
  INFO(name);
  const std::array<float, 6> hidden{1, 2, -3, 4, 8, -6};
  const std::array<std::size_t, 3> offsets{0, 2, 3};
  std::array<float, 4> out{};
  pool<float>(matrix_view<const float>(hidden.data(), 3, 2), offsets, rule, {out.data(), 2, 2});
  CHECK(out == expected);
}

TEST_CASE("an embedding of zeros stays zeros", "[pool]") {
  const std::array<float, 3> hidden{};
  const std::array<std::size_t, 2> offsets{0, 1};
  std::array<float, 3> out{1, 1, 1};
  pool<float>(matrix_view<const float>(hidden.data(), 1, 3), offsets, {}, {out.data(), 1, 3});
  CHECK(out == hidden);
}

TEST_CASE("pool refuses what has no embedding", "[pool]") {
  const std::array<float, 2> hidden{std::numeric_limits<float>::infinity(), 1};
  std::array<float, 2> out{};
  const matrix_view<const float> states(hidden.data(), 1, 2);
  const matrix_view<float> to(out.data(), 1, 2);
  CHECK_THROWS_AS(pool<float>(states, std::array<std::size_t, 2>{0, 1}, {}, to), numeric_error);
  CHECK_THROWS_AS(pool<float>(states, std::array<std::size_t, 2>{0, 2}, {}, to), shape_error);
  CHECK_THROWS_AS(pool<float>(states, std::array<std::size_t, 3>{0, 0, 1}, {}, {out.data(), 2, 1}),
                  shape_error);
  std::array<float, 4> two{};
  CHECK_THROWS_AS(pool<float>(states, std::array<std::size_t, 3>{0, 0, 1}, {}, {two.data(), 2, 2}),
                  config_error);
}

TEST_CASE("embed pools the hidden states behind the last norm", "[pool]") {
  const auto kind = GENERATE(pooling::last, pooling::mean, pooling::first);
  INFO(name_of(kind, pooling_names));
  auto model = small_decoder(12, 5);
  const token_batch batch = both_texts();
  tape<float> t({}, false);
  matrix<float> expected(2, 16);
  const matrix_view<const float> hidden = model.hidden(t, batch).value;
  pool<float>(hidden, batch.offsets, {kind, true}, matrix_view<float>(expected));
  CHECK(embedded(model, batch, {kind, true}) == expected);
}

TEST_CASE("the embedding of a text does not depend on other texts or on threads", "[pool]") {
  const auto kind = GENERATE(pooling::last, pooling::mean);
  INFO(name_of(kind, pooling_names));
  auto model = small_decoder(12, 6);
  insert_sub_ln(model, norm_placement::all);
  make_ternary(model);
  const matrix<float> trained = embedded(model, both_texts(), {kind, true});
  pack_ternary<two_bit>(model);
  thread_pool threads(3);
  const matrix<float> together = embedded(model, both_texts(), {kind, true}, threads);
  CHECK(together == trained);
  token_batch alone;
  alone.add(short_text);
  CHECK(embedded(model, alone, {kind, true}).row(0) == together.row(1));
}

TEST_CASE("embed refuses texts that the model cannot read", "[pool]") {
  auto model = small_decoder(12, 5);
  token_batch batch;
  batch.add(std::vector<std::int32_t>(65, 1));
  CHECK(message_of<config_error>([&] { embedded(model, batch, {}); }) ==
        "embed: a sequence has 65 tokens, and the model reads at most 64 "
        "(max_position_embeddings)");
  batch.clear();
  batch.add(std::span<const std::int32_t>{});
  CHECK_THROWS_AS(embedded(model, batch, {}), config_error);
}
