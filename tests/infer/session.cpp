// Compares sessions with Hugging Face transformers and with the training graph at every position,
// for any way to append the tokens.
#include "tern/infer/session.hpp"

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "tern/core/thread_pool.hpp"
#include "tern/model/pack_model.hpp"
#include "tern/model/surgery.hpp"
#include "tests/allocations.hpp"
#include "tests/message.hpp"
#include "tests/model/reference.hpp"
#include "tests/small_decoder.hpp"

using namespace tern;
using namespace tern_test;

namespace {

/// The tokens of sequence s of a batch.
std::span<const std::int32_t> sequence(const token_batch& batch, std::size_t s) {
  return std::span(batch.tokens).subspan(batch.offsets[s], batch.offsets[s + 1] - batch.offsets[s]);
}

/// Logits of all positions, from a prompt of one token and then token by token.
matrix<float> stepwise(session<>& s, const token_batch& batch) {
  const auto vocabulary = static_cast<Eigen::Index>(s.model().config().vocab_size);
  matrix<float> all(static_cast<Eigen::Index>(batch.tokens.size()), vocabulary);
  for (std::size_t i = 0; i < batch.sequences(); ++i) {
    s.truncate(i, 0);
    const auto tokens = sequence(batch, i);
    for (std::size_t j = 0; j < tokens.size(); ++j) {
      const auto row = s.append(tokens.subspan(j, 1), i);
      std::copy_n(row.data, row.size,
                  all.row(static_cast<Eigen::Index>(batch.offsets[i] + j)).data());
    }
  }
  return all;
}

session_options exact(const token_batch& batch) {
  session_options o;
  o.sequences = batch.sequences();
  o.storage = kv_storage::f32;
  return o;
}

double worst(const matrix<float>& a, const matrix<float>& b) {
  return static_cast<double>((a - b).cwiseAbs().maxCoeff());
}

}  // namespace

TEST_CASE("the logits of every family are those of transformers, token by token", "[session]") {
  const std::string name = GENERATE("qwen3_tiny", "qwen2_tiny", "llama_tiny", "gemma3_tiny",
                                    "bitnet_tiny", "bitnet_offline_tiny");
  INFO(name);
  const problem p(oracle_folder(name));
  auto model = load_model<>(oracle_folder(name));
  session<> s(model, exact(p.batch));
  CHECK(difference<float>(stepwise(s, p.batch), p.expected.at("full.logits")) < 1e-5);
}

TEST_CASE("prompts in chunks and sequences in one pass give the same logits", "[session]") {
  const std::string name = GENERATE("qwen3_tiny", "gemma3_tiny");
  INFO(name);
  const problem p(oracle_folder(name));
  auto model = load_model<>(oracle_folder(name));
  session<> s(model, exact(p.batch));
  const matrix<float> expected = stepwise(s, p.batch);
  const auto last = [&](std::size_t i) {
    return static_cast<Eigen::Index>(p.batch.offsets[i + 1] - 1);
  };

  auto options = exact(p.batch);
  options.chunk = 3;
  session<> chunks(model, options);
  for (std::size_t i = 0; i < p.batch.sequences(); ++i) {
    const auto row = chunks.append(sequence(p.batch, i), i);
    for (std::size_t c = 0; c < row.size; ++c)
      CHECK(row[c] == Approx(expected(last(i), static_cast<Eigen::Index>(c))).margin(1e-4));
    CHECK(chunks.length(i) == sequence(p.batch, i).size());
  }

  thread_pool pool(3);
  session<> together(model, exact(p.batch), pool);
  std::vector<sequence_tokens> parts;
  for (std::size_t i = 0; i < p.batch.sequences(); ++i) parts.push_back({i, sequence(p.batch, i)});
  const auto rows = together.append(parts);
  REQUIRE(rows.rows == parts.size());
  for (std::size_t i = 0; i < rows.rows; ++i)
    for (std::size_t c = 0; c < rows.cols; ++c)
      CHECK(rows(i, c) == Approx(expected(last(i), static_cast<Eigen::Index>(c))).margin(1e-4));
}

TEST_CASE("a packed model gives the logits of the training graph", "[session]") {
  const problem p(oracle_folder("qwen3_tiny"));
  auto model = load_model<>(oracle_folder("qwen3_tiny"));
  insert_sub_ln(model);
  make_ternary(model);
  tape<float> t({}, false);
  const matrix<float> expected = logits_of(model, model.hidden(t, p.batch));
  pack_ternary<base3>(model);
  session<> s(model, exact(p.batch));
  CHECK(worst(stepwise(s, p.batch), expected) < 1e-4);

  // Caches of fewer bits give close, not equal logits.
  for (const auto& [storage, bound] : {std::pair(kv_storage::f16, 0.02), {kv_storage::int8, 0.2}}) {
    auto options = exact(p.batch);
    options.storage = storage;
    session<> rounded(model, options);
    const double distance = worst(stepwise(rounded, p.batch), expected);
    CHECK(distance < bound * static_cast<double>(expected.cwiseAbs().maxCoeff()));
    CHECK(distance > 0);
  }
}

TEST_CASE("a token needs no allocation", "[session]") {
  const problem p(oracle_folder("qwen3_tiny"));
  auto model = load_model<>(oracle_folder("qwen3_tiny"));
  make_ternary(model);
  pack_ternary<two_bit>(model);
  session<> s(model, exact(p.batch));
  const auto tokens = sequence(p.batch, 0);
  s.append(tokens);
  s.append(tokens.first(1));
  const std::size_t before = allocations;
  for (int i = 0; i < 10; ++i) s.append(tokens.first(1));
  const std::size_t after = allocations;
  CHECK(after == before);
}

TEST_CASE("tokens that a session refuses leave it as it was", "[session]") {
  const problem p(oracle_folder("qwen3_tiny"));
  auto model = load_model<>(oracle_folder("qwen3_tiny"));
  auto options = exact(p.batch);
  options.capacity = 6;
  session<> s(model, options);
  const std::vector<std::int32_t> tokens{1, 2, 3, 4};
  s.append(tokens);
  const auto says = [&](auto&& f, const std::string& text) {
    const auto message = message_of<config_error>(f);
    INFO(message);
    CHECK(message.find(text) != std::string::npos);
    CHECK(s.length() == 4);
  };
  says([&] { s.append(tokens); }, "4 tokens after 4 exceed the capacity of 6");
  says([&] { s.append(std::span(tokens).first(0)); }, "no tokens");
  says([&] { s.append(std::vector<std::int32_t>{5, 1 << 20}); }, "token 1 has id 1048576");
  const sequence_tokens twice[] = {{0, std::span(tokens).first(1)},
                                   {0, std::span(tokens).first(1)}};
  says([&] { s.append(twice); }, "twice");
  says([&] { s.append(std::span(tokens).first(1), 99); }, "sequence 99 of");
}

TEST_CASE("a session that is alone with its model gives the same logits") {
  auto one = small_decoder<>(30, 1), other = small_decoder<>(30, 1);
  session<> shared(one, {.capacity = 8}), alone(other, {.capacity = 8, .alone = true});
  const std::vector<std::int32_t> tokens{1, 2, 3};
  for (int i = 0; i < 2; ++i) {
    const auto expected = shared.append(tokens), logits = alone.append(tokens);
    CHECK(std::equal(expected.data, expected.data + expected.size, logits.data));
  }
}
