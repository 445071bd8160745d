// Comparison of the predictions of two models.
#include "tern/infer/compare_models.hpp"

#include <cmath>
#include <vector>

#include "tern/infer/perplexity.hpp"
#include "tern/model/surgery.hpp"
#include "tests/message.hpp"
#include "tests/small_decoder.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

std::vector<std::int32_t> tokens(std::size_t n) {
  std::vector<std::int32_t> t(n);
  for (std::size_t i = 0; i < n; ++i) t[i] = static_cast<std::int32_t>(i * i * 7 % 31);
  return t;
}

}  // namespace

TEST_CASE("a model equals itself") {
  auto model = tern_test::small_decoder(31, 3);
  token_batch batch;
  batch.add(tokens(60));
  const model_comparison c = compare_models(model, model, batch);
  CHECK(c.tokens == 59);
  CHECK(c.divergence == Approx(0).margin(1e-9));
  CHECK(c.agreement == 1);
  CHECK(c.perplexity == c.reference_perplexity);
  CHECK(c.perplexity == Approx(perplexity(model, tokens(60), 60).perplexity).epsilon(1e-5));
}

TEST_CASE("the comparison of a model with its ternary form is that of the definition") {
  auto reference = tern_test::small_decoder(31, 3), model = tern_test::small_decoder(31, 3);
  make_ternary(model);
  token_batch batch;
  batch.add(tokens(40));
  batch.add(tokens(17));
  const model_comparison c = compare_models(reference, model, batch);
  tape<float> t({}, false);
  const auto p = reference.logits(t, reference.hidden(t, batch)).value,
             q = model.logits(t, model.hidden(t, batch)).value;
  double divergence = 0, nll = 0;
  std::size_t same = 0;
  for (std::size_t s = 0; s < 2; ++s)
    for (std::size_t r = batch.offsets[s]; r + 1 < batch.offsets[s + 1]; ++r) {
      double sum_p = 0, sum_q = 0;
      std::size_t best_p = 0, best_q = 0;
      for (std::size_t i = 0; i < 31; ++i) {
        sum_p += std::exp(static_cast<double>(p(r, i)));
        sum_q += std::exp(static_cast<double>(q(r, i)));
        if (p(r, i) > p(r, best_p)) best_p = i;
        if (q(r, i) > q(r, best_q)) best_q = i;
      }
      for (std::size_t i = 0; i < 31; ++i) {
        const double a = std::exp(static_cast<double>(p(r, i))) / sum_p,
                     b = std::exp(static_cast<double>(q(r, i))) / sum_q;
        divergence += a * std::log(a / b);
      }
      const auto target = static_cast<std::size_t>(batch.tokens[r + 1]);
      nll -= std::log(std::exp(static_cast<double>(q(r, target))) / sum_q);
      same += best_p == best_q;
    }
  CHECK(c.tokens == 55);
  CHECK(c.divergence == Approx(divergence / 55).epsilon(1e-5));
  CHECK(c.divergence > 0.01);
  CHECK(std::log(c.perplexity) == Approx(nll / 55).epsilon(1e-5));
  CHECK(c.agreement == Approx(static_cast<double>(same) / 55));
}

TEST_CASE("a comparison can begin at the answers") {
  auto reference = tern_test::small_decoder(31, 3), model = tern_test::small_decoder(31, 3);
  make_ternary(model);
  token_batch both;
  both.add(tokens(20));
  both.add(tokens(60));
  const std::vector<std::size_t> from{17, 59};
  const model_comparison c = compare_models(reference, model, both, {}, from);
  CHECK(c.tokens == 4);
  const auto until = [&](std::size_t n) {
    token_batch b;
    b.add(tokens(n));
    return compare_models(reference, model, b);
  };
  // The answers are what all tokens have more than the prompts.
  const auto answers = [&](std::size_t n, std::size_t begin) {
    return until(n).divergence * static_cast<double>(n - 1) -
           until(begin).divergence * static_cast<double>(begin - 1);
  };
  CHECK(c.divergence == Approx((answers(20, 17) + answers(60, 59)) / 4).epsilon(1e-6));
}

TEST_CASE("models that cannot be compared are refused") {
  auto model = tern_test::small_decoder(31, 3), other = tern_test::small_decoder(30, 3);
  token_batch batch, single;
  batch.add(tokens(4));
  single.add(tokens(1));
  CHECK(tern_test::message_of<config_error>([&] { compare_models(model, other, batch); }) ==
        "compare_models: the models have vocabularies of different sizes");
  CHECK(tern_test::message_of<config_error>([&] { compare_models(model, model, single); }) ==
        "compare_models: no token is predicted");
  const std::vector<std::size_t> two{1, 2};
  CHECK(tern_test::message_of<config_error>([&] {
          compare_models(model, model, batch, {}, two);
        }) == "compare_models: there are 1 sequences and 2 first predicted tokens");
}
