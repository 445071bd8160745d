// Tests of generation (the argmax of the training graph, what ends an answer) and of perplexity.
#include "tern/infer/generate.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tern/core/thread_pool.hpp"
#include "tern/distill/objective.hpp"
#include "tern/infer/perplexity.hpp"
#include "tern/text/bpe_tokenizer.hpp"
#include "tests/message.hpp"
#include "tests/small_decoder.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

const bpe_tokenizer& tokenizer() {
  static const auto t = bpe_tokenizer::train("the cat sat on the mat and the dog sat on the cat ",
                                             {.vocab_size = 270});
  return t;
}

decoder<> small_model() {
  model_config c;
  c.vocab_size = tokenizer().vocab_size();
  c.hidden_size = 32;
  c.intermediate_size = 48;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 2;
  c.num_key_value_heads = 1;
  c.head_dim = 16;
  c.max_position_embeddings = 64;
  c.initializer_range = 0.4;
  decoder<> model(c);
  model.initialize(4);
  return model;
}

/// The most probable token after `tokens`, computed without a cache.
std::int32_t most_probable(decoder<>& model, const std::vector<std::int32_t>& tokens) {
  tape<float> t({}, false);
  token_batch batch;
  batch.add(tokens);
  const std::vector<std::size_t> last{tokens.size() - 1};
  const auto logits = model.logits(t, model.hidden(t, batch, last)).value.row(0);
  return static_cast<std::int32_t>(std::max_element(logits.data, logits.data + logits.size) -
                                   logits.data);
}

constexpr auto ignore = [](std::string_view) {};

/// Answers to one prompt, in a session that holds 20 tokens.
struct answers {
  decoder<> model = small_model();
  std::vector<std::int32_t> prompt = tokenizer().encode("the cat");
  session<> s{model, {.capacity = 20, .storage = kv_storage::f32}};
  generation whole = again({.max_tokens = 100}, ignore);

  template <class F>
  generation again(const generation_options& options, F on_text) {
    s.truncate(0, 0);
    return generate(s, tokenizer(), prompt, options, on_text);
  }
};

}  // namespace

TEST_CASE("greedy text is the argmax of the training graph", "[generate]") {
  auto model = small_model();
  const auto prompt = tokenizer().encode("the cat");
  auto expected = prompt;
  for (int i = 0; i < 12; ++i) expected.push_back(most_probable(model, expected));
  thread_pool pool(2);
  session s(model, {.storage = kv_storage::f32}, pool);
  std::string shown;
  const auto result = generate(s, tokenizer(), prompt, {.max_tokens = 12},
                               [&](std::string_view text) { shown += text; });
  REQUIRE(result.tokens.size() == 12);
  CHECK(std::equal(result.tokens.begin(), result.tokens.end(),
                   expected.begin() + static_cast<std::ptrdiff_t>(prompt.size())));
  CHECK(result.text == tokenizer().decode(result.tokens));
  CHECK(shown == result.text);
  CHECK(result.finish == finish_reason::length);
}

TEST_CASE("an answer ends where the session is full", "[generate]") {
  answers a;
  CHECK(a.whole.finish == finish_reason::length);
  // The last token needs no place in the cache, which has 20.
  CHECK(a.prompt.size() + a.whole.tokens.size() == 21);
}

TEST_CASE("an answer ends before a stop token", "[generate]") {
  answers a;
  const auto result = a.again({.max_tokens = 100, .stop_tokens = {a.whole.tokens[3]}}, ignore);
  CHECK(result.finish == finish_reason::stop_token);
  CHECK(result.tokens.size() <= 3);
  CHECK(a.whole.text.starts_with(result.text));
}

TEST_CASE("an answer ends before a stop string", "[generate]") {
  answers a;
  const std::string stop = a.whole.text.substr(2, 3);
  const auto result = a.again({.max_tokens = 100, .stop_strings = {stop}}, ignore);
  CHECK(result.finish == finish_reason::stop_string);
  CHECK(result.text == a.whole.text.substr(0, a.whole.text.find(stop)));
}

TEST_CASE("an answer ends when the callback says so", "[generate]") {
  answers a;
  int calls = 0;
  const auto result = a.again({.max_tokens = 100}, [&](std::string_view) { return ++calls < 2; });
  CHECK(result.finish == finish_reason::cancelled);
  CHECK(calls == 2);
}

TEST_CASE("draws depend on the seed alone", "[generate]") {
  auto model = small_model();
  const auto prompt = tokenizer().encode("the dog");
  const auto draw = [&](std::uint64_t seed, executor_ref ex) {
    session s(model, {}, ex);
    generation_options o{.sampling = {.temperature = 1, .seed = seed}, .max_tokens = 20};
    return generate(s, tokenizer(), prompt, o, ignore).tokens;
  };
  thread_pool pool(3);
  CHECK(draw(1, {}) == draw(1, pool));
  CHECK(draw(1, {}) != draw(2, {}));
}

TEST_CASE("perplexity is the exponential of the training loss", "[perplexity]") {
  auto model = small_model();
  const auto tokens = tokenizer().encode("the cat sat on the mat and the dog sat on the cat");
  const auto loss_of = [&](std::span<const std::int32_t> window) {
    token_batch batch;
    batch.add(window);
    std::vector<std::int32_t> targets(window.begin() + 1, window.end());
    targets.push_back(-100);
    tape<float> t;
    objective<float> loss;
    const auto h = model.hidden(t, batch);
    return loss.record(t, h, model.head().variable(), targets).total;
  };
  const auto whole = perplexity(model, tokens, 64);
  CHECK(whole.tokens == tokens.size() - 1);
  CHECK(whole.perplexity == Approx(std::exp(loss_of(tokens))).epsilon(1e-5));

  // There are two windows, and a last token that predicts nothing.
  const std::size_t half = (tokens.size() - 1) / 2;
  const auto first = std::span(tokens).first(half), second = std::span(tokens).subspan(half, half);
  const auto cut = perplexity(model, std::span(tokens).first(2 * half + 1), half);
  CHECK(cut.tokens == 2 * (half - 1));
  CHECK(std::log(cut.perplexity) == Approx((loss_of(first) + loss_of(second)) / 2).epsilon(1e-5));

  const auto says = [&](std::size_t n, std::size_t length) {
    return tern_test::message_of<config_error>(
        [&] { perplexity(model, std::span(tokens).first(n), length); });
  };
  CHECK(says(1, 8) == "perplexity: the text has fewer than two tokens");
  CHECK(says(8, 1).find("expected 2 to 64") != std::string::npos);
  CHECK(says(8, 65).find("expected 2 to 64") != std::string::npos);
}

TEST_CASE("a model that computes no probabilities has no perplexity") {
  auto model = tern_test::small_decoder<>(40, 5);
  model.layers()[1].down.weight.value(0, 0) = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::int32_t> tokens{1, 2, 3, 4, 5};
  CHECK_THROWS_AS(perplexity(model, tokens, 4), numeric_error);
}
