// The choice of the layer of a loss term: what is measured, what it does not depend on, and what is
// refused.
#include "tern/recipe/choose_layers.hpp"

#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "tern/core/thread_pool.hpp"
#include "tern/model/decoder.hpp"
#include "tern/recipe/stage_loss.hpp"
#include "tests/message.hpp"
#include "tests/small_decoder.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

using exact_model = decoder<matrix<double>>;

std::vector<token_example> questions() {
  std::vector<token_example> list;
  philox random(4);
  for (std::size_t i = 0; i < 6; ++i) {
    token_example& e = list.emplace_back();
    e.answer = 4 + i;
    for (std::size_t k = 0; k < e.answer + 1; ++k)
      e.tokens.push_back(static_cast<std::int32_t>(random.below(50)));
  }
  return list;
}

model_config three_layers() {
  model_config c = tern_test::small_config(50);
  c.num_hidden_layers = 3;
  return c;
}

/// Cross-entropy, logits, and relations of a layer; none: it is to be chosen.
loss_options losses_with(std::optional<int> layer) {
  relation_term_options relations;
  relations.form.split_heads = 2;
  relations.layers.layer = layer;
  return loss_options::with(cross_entropy_options{}, logits_term_options{}, relations);
}

/// A student and a teacher with other weights.
struct pair_of_models {
  exact_model student{three_layers()}, teacher{three_layers()};
  pair_of_models() {
    student.initialize(1);
    teacher.initialize(2);
  }

  std::vector<layer_agreement> choose(const loss_options& losses, layer_trial trial = {}) {
    trial.micro_batches = 2;
    return choose_layers(student, &teacher, std::make_unique<example_batches>(data, 3, 9), losses,
                         trial);
  }

  /// The gradient of the losses on a micro-batch.
  std::vector<double> gradient(const loss_options& losses, std::size_t number) {
    student.train(true);
    stage_loss<exact_model> loss(student, &teacher, std::make_unique<example_batches>(data, 3, 9),
                                 make_objective<double>(losses, {3, 3}));
    tape<double> t;
    loss(t, number);
    t.backward();
    std::vector<double> all;
    student.for_each_parameter([&](auto& p) {
      for (Eigen::Index i = 0; i < p.grad.size(); ++i) all.push_back(p.grad.data()[i]);
    });
    student.train(false);
    return all;
  }

  std::vector<token_example> data = questions();
};

double cosine(const std::vector<double>& a, const std::vector<double>& b) {
  const auto product = [](const auto& x, const auto& y) {
    return std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
  };
  return product(a, b) / std::sqrt(product(a, a) * product(b, b));
}

std::vector<double> means_of(const layer_agreement& term) {
  std::vector<double> means;
  for (const sample_statistics& s : term.layers) means.push_back(s.mean);
  return means;
}

}  // namespace

TEST_CASE("a layer is measured by the cosine of its gradient and that of the other terms") {
  pair_of_models models;
  loss_options others = losses_with({});
  std::get<2>(others.terms).reset();
  const auto found = models.choose(losses_with({}));
  REQUIRE(found.size() == 1);
  CHECK(found[0].term == "relations");
  REQUIRE(found[0].layers.size() == 3);
  for (int layer = 0; layer < 3; ++layer) {
    loss_options alone = losses_with(layer);
    std::get<0>(alone.terms).reset();
    std::get<1>(alone.terms).reset();
    std::vector<double> cosines;
    for (const std::size_t number : {std::size_t{0}, std::size_t{1}})
      cosines.push_back(cosine(models.gradient(alone, number), models.gradient(others, number)));
    const sample_statistics want = statistics_of(cosines);
    const auto& got = found[0].layers[static_cast<std::size_t>(layer)];
    CHECK(got.mean == Approx(want.mean).epsilon(1e-9));
    CHECK(got.deviation == Approx(want.deviation).epsilon(1e-9));
    CHECK(got.mean <= found[0].layers[found[0].chosen].mean);
  }
}

TEST_CASE("the choice depends neither on the term's weight nor on the number of threads") {
  pair_of_models models;
  const auto plain = models.choose(losses_with({}));
  loss_options no_weight = losses_with({});
  std::get<2>(no_weight.terms)->weight = 0;
  CHECK(means_of(models.choose(no_weight)[0]) == means_of(plain[0]));
  thread_pool threads(3);
  layer_trial trial;
  trial.ex = threads;
  CHECK(means_of(models.choose(losses_with({}), trial)[0]) == means_of(plain[0]));
}

TEST_CASE("parameters that are not trained do not count") {
  pair_of_models models;
  const auto plain = models.choose(losses_with({}));
  layer_trial trial;
  trial.rates.tables = 0;
  CHECK(means_of(models.choose(losses_with({}), trial)[0]) != means_of(plain[0]));
}

TEST_CASE("a choice leaves the weights as they are, and no gradients") {
  pair_of_models models, before;
  models.choose(losses_with({}));
  std::vector<double> weights, unchanged;
  models.student.for_each_parameter([&](auto& p) {
    CHECK(p.grad.size() == 0);
    weights.insert(weights.end(), p.value.data(), p.value.data() + p.value.size());
  });
  before.student.for_each_parameter([&](auto& p) {
    unchanged.insert(unchanged.end(), p.value.data(), p.value.data() + p.value.size());
  });
  CHECK(weights == unchanged);
}

TEST_CASE("of layers that agree equally the last is chosen") {
  pair_of_models models;
  loss_options losses = losses_with({});
  std::get<0>(losses.terms)->weight = std::get<1>(losses.terms)->weight = 0;
  const auto found = models.choose(losses);
  CHECK(means_of(found[0]) == std::vector<double>{0, 0, 0});
  CHECK(found[0].chosen == 2);
}

TEST_CASE("chosen layers stand where the losses left them open") {
  loss_options losses =
      loss_options::with(*std::get<2>(losses_with({}).terms), hidden_state_term_options{});
  std::get<3>(losses.terms)->layers.layer.reset();
  CHECK(open_terms(losses) == 2);
  const std::vector<std::size_t> layers{4, 1};
  const loss_options made = with_layers(losses, layers);
  CHECK(open_terms(made) == 0);
  CHECK(std::get<2>(made.terms)->layers.layer == 4);
  CHECK(std::get<3>(made.terms)->layers.layer == 1);
  CHECK_THROWS_AS(with_layers(made, layers), shape_error);
}

TEST_CASE("what has no layer to choose by is refused") {
  pair_of_models models;
  loss_options alone = losses_with({});
  std::get<0>(alone.terms).reset();
  std::get<1>(alone.terms).reset();
  CHECK(tern_test::message_of<config_error>([&] { models.choose(alone); }) ==
        "objective: expected 1 to 8 loss terms, got 0");
  CHECK(tern_test::message_of<config_error>([&] {
          choose_layers<exact_model, exact_model>(
              models.student, nullptr, std::make_unique<example_batches>(models.data, 3, 9),
              losses_with({}), {});
        }) == "logits: needs a teacher");
  CHECK(tern_test::message_of<config_error>([&] {
          make_objective<double>(losses_with({}), {3, 3});
        }) == "relations: the layer has not been chosen yet");
}
